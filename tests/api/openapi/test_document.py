"""The API's description of itself: whole, true to its own schemas, and leading from each answer to the next."""

import re
from pathlib import Path

import jsonschema
import pytest
from openapi_document import Json, Operation, own_document
from openapi_spec_validator import validate

from metseg.schemas.job import RESEARCH_USE_ONLY
from metseg_api.problem_details import HTTP_CODES, INTERNAL_CODE, KINDS, problem_type

DOCUMENT = own_document()
PROBLEM = "application/problem+json"
NO_BODY = {204, 304}
OPEN = {"get_health", "get_readiness", "get_version"}

every_operation = pytest.mark.parametrize("operation", DOCUMENT.operations, ids=lambda operation: operation.id)


def test_the_document_is_valid_and_says_that_this_is_research() -> None:
    validate(DOCUMENT.told)
    assert DOCUMENT.told["openapi"].startswith("3.1")
    assert RESEARCH_USE_ONLY in DOCUMENT.told["info"]["description"]
    assert len({operation.id for operation in DOCUMENT.operations}) == len(DOCUMENT.operations) >= 14


@every_operation
def test_an_operation_says_what_it_does_and_who_may_ask(operation: Operation) -> None:
    assert operation.told["summary"]
    assert operation.told["description"].rstrip("`").endswith((".", "?"))
    assert operation.told["tags"]
    schemes = DOCUMENT.told["components"]["securitySchemes"]
    assert all(scheme["description"] for scheme in schemes.values())
    named = [name for one in operation.told["security"] for name in one]
    assert set(named) <= set(schemes)
    assert (not named) == (operation.id in OPEN)


@every_operation
def test_an_operation_explains_its_parameters_by_valid_examples(operation: Operation) -> None:
    for parameter in operation.parameters.values():
        assert parameter["description"], parameter["name"]
        schema = parameter["schema"]
        examples = [parameter["example"]] if "example" in parameter else schema["examples"]
        assert examples, parameter["name"]
        assert {"type": "null"} not in schema.get("anyOf", []), parameter["name"]
        for example in examples:
            hold(example, schema)


@every_operation
def test_an_operation_shows_valid_bodies(operation: Operation) -> None:
    for content in operation.told.get("requestBody", {}).get("content", {}).values():
        assert all(one["description"] for one in content["schema"]["properties"].values())
        shown = examples_of(content)
        assert shown
        for example in shown:
            hold(example, content["schema"])


@every_operation
def test_an_operation_shows_each_of_its_answers(operation: Operation) -> None:
    for status, told in operation.answers.items():
        assert told["description"], status
        assert all(header["description"] for header in told.get("headers", {}).values())
        if status in NO_BODY or operation.method == "HEAD":
            assert "content" not in told, status
            continue
        [content] = told["content"].values()
        shown = examples_of(content)
        assert shown, status
        for example in shown:
            hold(example, content["schema"])


@every_operation
def test_an_operation_tells_each_problem_that_it_may_answer(operation: Operation) -> None:
    assert INTERNAL_CODE in operation.codes(500) or operation.method == "HEAD"
    for status, told in operation.answers.items():
        for code, example in told.get("content", {}).get(PROBLEM, {}).get("examples", {}).items():
            assert example["summary"] == example["value"]["title"]
            assert (example["value"]["status"], example["value"]["code"]) == (status, code)
            assert example["value"]["type"] == problem_type(code)
            assert example["value"]["detail"].endswith(".")


@every_operation
def test_an_operation_leads_to_the_next(operation: Operation) -> None:
    led = [link for status, told in operation.answers.items() for link in told.get("links", {}).values()]
    assert led
    by_id = {one.id: one for one in DOCUMENT.operations}
    for link in led:
        target = by_id[link["operationId"]]
        assert link["description"]
        assert set(link.get("parameters", {})) <= set(target.parameters)
        needed = {name for name, one in target.parameters.items() if one["required"]}
        assert needed <= set(link.get("parameters", {})), target.id


@every_operation
def test_the_expressions_of_a_link_find_something_in_the_example(operation: Operation) -> None:
    for told in operation.answers.values():
        for link in told.get("links", {}).values():
            for expression in link.get("parameters", {}).values():
                if expression.startswith("$request.path."):
                    assert expression.removeprefix("$request.path.") in operation.parameters
                else:
                    usual = examples_of(told["content"]["application/json"])[0]
                    assert found_by(expression, usual), expression


def test_every_problem_of_the_code_stands_in_some_operation() -> None:
    told = {code for one in DOCUMENT.operations for status in one.answers for code in one.codes(status)}
    of_errors = {cls.code for cls in KINDS} - {"metseg_error"}
    assert told == of_errors | {INTERNAL_CODE}


def test_the_guide_explains_every_type_of_problem_and_no_other() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "api.md").read_text().partition("## Errors")[2]
    rows = re.findall(
        r"^\| `(urn:metseg:problem:[a-z-]+)` \| (\d{3}) \| (.+\.) \| (.+\.) \|$", guide, re.MULTILINE
    )
    wire = {cls.code: kind.status for cls, kind in KINDS.items() if cls.code != "metseg_error"}
    wire |= {code: status for status, code in HTTP_CODES.items()} | {INTERNAL_CODE: 500}
    assert {row[0]: int(row[1]) for row in rows} == {problem_type(code): status for code, status in wire.items()}
    assert len(rows) == len(wire)


def hold(example: object, schema: Json) -> None:
    """Compare an example with its schema, which may refer to the document's components."""
    jsonschema.validate(example, schema | {"components": DOCUMENT.told["components"]})


def examples_of(content: Json) -> list[object]:
    if "example" in content:
        return [content["example"]]
    return [example["value"] for example in content.get("examples", {}).values()]


def found_by(expression: str, body: object) -> object:
    """What `$response.body#/a/0/b` names in a body."""
    place = expression.removeprefix("$response.body#/")
    assert place != expression
    for part in place.split("/"):
        body = body[int(part)] if isinstance(body, list) else body[part]  # type: ignore[index]
    return body
