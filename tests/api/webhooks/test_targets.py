"""Where a webhook may go, and that it goes nowhere else."""

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis_fixture import free_port
from webhook_receiver import Receiver

from metseg_api.errors import WebhookRefusedError
from metseg_api.webhooks import sender as sending
from metseg_api.webhooks.deliveries import Outcome
from metseg_api.webhooks.sender import Answer, Sender
from metseg_api.webhooks.targets import Targets, is_public

PUBLIC = "93.184.216.34"


class Names:
    """Answers look-ups from a list; the last answer stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found


def send(url: str, names: Names | None = None, allowed: Collection[str] = ("localhost",)) -> Answer:
    targets = Targets(allowed) if names is None else Targets(allowed, names)
    return anyio.run(Sender(targets).send, url, {"webhook-id": "msg_1"}, b"{}")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.100.100.200"),
        *("169.254.169.254", "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
        *("2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    ],
)
def test_an_address_within_the_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "gopher://example.org",
            "//example.org",
        ),
        *("https://", "https:///path", "https://user:word@example.org/", "https://example.org@evil.example/"),
        *("https://example.org/#part", "https://example.org:0/", "https://example.org:99999/", "https://[::1/"),
        *("https://example.org\\@evil.example/", "https://exa mple.org/", "https://example.org/\r\nX: y"),
        *("https://ex\u00e4mple.org/", "https://example.org/\u2028", "example.org", "javascript:alert(1)"),
        "https://host/\u212a",  # the sign of the kelvin, whose small letter is a k of ASCII
    ],
)
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(WebhookRefusedError):
        Targets([]).parse(url)


@pytest.mark.parametrize("spelling", ["https://host{}/", "https://host/{}", "https://host/?{}", "http{}://host/"])
def test_no_character_beyond_ascii_is_taken(spelling: str) -> None:
    taken = []
    for number in (*range(0x80, 0xD800), *range(0xE000, 0x11000)):
        with suppress(WebhookRefusedError):
            taken.append(Targets([]).parse(spelling.format(chr(number))))
    assert taken == []


@pytest.mark.parametrize(
    "spelling", ["http://host:{port}/{sign}", "http://host:{port}/?{sign}", "http://h{sign}t/"]
)
def test_whatever_is_taken_can_be_sent(spelling: str) -> None:
    async def send_all() -> None:
        targets = Targets(["host"], Names(["127.0.0.1"]))
        sender, port = Sender(targets), free_port()
        for number in range(0x20, 0x7F):
            await sender.send(spelling.format(port=port, sign=chr(number)), {"webhook-id": "msg_1"}, b"{}")

    anyio.run(send_all)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"),
        *("169.254.169.254", "LOCALHOST", "localhost.", "0"),
    ],
)
def test_a_spelling_of_a_local_address_is_refused(host: str) -> None:
    with pytest.raises(WebhookRefusedError):
        anyio.run(Targets([]).check, f"https://{host}/")


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(WebhookRefusedError, match="METSEG_WEBHOOK_HOSTS"):
        anyio.run(Targets([], Names([PUBLIC, "10.0.0.1"])).check, "https://example.org/")


def test_a_name_that_does_not_exist_is_refused_in_the_same_words() -> None:
    said = []
    for answer in ([], ["10.0.0.1"]):
        with pytest.raises(WebhookRefusedError) as caught:
            anyio.run(Targets([], Names(answer)).check, "https://example.org/")
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_name_that_nobody_can_look_up_now_is_left_to_the_delivery() -> None:
    async def away(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    anyio.run(Targets([], away).check, "https://example.org/")


def test_a_host_that_is_allowed_by_name_may_have_any_address_and_no_tls() -> None:
    targets = Targets(["receiver.clinic"], Names(["10.0.0.1"]))
    anyio.run(targets.check, "http://Receiver.Clinic:8080/x")
    with pytest.raises(WebhookRefusedError):
        anyio.run(targets.check, "http://not.receiver.clinic/x")


def test_a_message_goes_to_the_address_that_was_looked_up_under_the_name_that_was_given() -> None:
    names = Names(["127.0.0.1"])
    with Receiver().serving() as receiver:
        url = f"http://receiver.clinic:{receiver.port}/a%20b?c=d"
        assert send(url, names, ["receiver.clinic"]) == Answer(Outcome.DELIVERED, 204)
    [call] = receiver.calls
    assert call.headers["host"] == f"receiver.clinic:{receiver.port}"
    assert call.path == "/a%20b?c=d"
    assert names.asked == ["receiver.clinic"]


def test_a_name_that_changes_its_mind_after_it_was_accepted_leads_nowhere() -> None:
    with Receiver().serving() as receiver:
        names = Names([PUBLIC], ["127.0.0.1"])
        url = f"https://rebinding.example:{receiver.port}/"
        anyio.run(Targets([], names).check, url)
        assert send(url, names, []) == Answer(Outcome.ADDRESS_REFUSED)
    assert receiver.calls == []


def test_the_next_address_is_tried_where_the_first_does_not_answer() -> None:
    with Receiver().serving() as receiver:
        url = f"http://receiver.clinic:{receiver.port}/"
        assert send(url, Names(["127.0.0.9", "127.0.0.1"]), ["receiver.clinic"]).outcome is Outcome.DELIVERED


def test_a_redirect_is_not_followed() -> None:
    with Receiver().serving() as elsewhere, Receiver().serving() as receiver:
        receiver.answers, receiver.location = [302, 307], elsewhere.url
        assert send(receiver.url) == Answer(Outcome.BAD_STATUS, 302)
        assert send(receiver.url) == Answer(Outcome.BAD_STATUS, 307)
    assert elsewhere.calls == []


def test_what_goes_wrong_on_the_way_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver().serving() as receiver:
        receiver.answers = [500]
        assert send(receiver.url) == Answer(Outcome.BAD_STATUS, 500)
        closed = receiver.url
        monkeypatch.setattr(sending, "ATTEMPT_S", 0.3)
        receiver.silent_s = 2
        assert send(receiver.url) == Answer(Outcome.TIMEOUT)
    assert send(closed) == Answer(Outcome.UNREACHABLE)
    assert send("https://nowhere.example/", Names([])) == Answer(Outcome.NAME_UNKNOWN)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert send(f"http://localhost:{silent.getsockname()[1]}/") == Answer(Outcome.TIMEOUT)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver().serving() as proxy, Receiver().serving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert send(receiver.url).outcome is Outcome.DELIVERED
    assert proxy.calls == []


def test_a_certificate_counts_for_the_name_and_not_for_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Receiver().serving(certified(tmp_path, "receiver.clinic")) as receiver:
        allowed, names = ["receiver.clinic", "other.clinic"], Names(["127.0.0.1"])
        assert send(f"https://receiver.clinic:{receiver.port}/", names, allowed).outcome is Outcome.DELIVERED
        assert send(f"https://other.clinic:{receiver.port}/", names, allowed) == Answer(Outcome.UNREACHABLE)
    assert [call.headers["host"] for call in receiver.calls] == [f"receiver.clinic:{receiver.port}"]


def certified(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side of TLS with a certificate of its own, which lies in `cert.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("::1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
