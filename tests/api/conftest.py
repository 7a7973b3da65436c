"""A running API for each test."""

from api_fixtures import anna, api, bert, locked, own_api, own_status_server, shared_api, shared_redis
from redis_fixture import redis_server

__all__ = [
    "anna",
    "api",
    "bert",
    "locked",
    "own_api",
    "own_status_server",
    "redis_server",
    "shared_api",
    "shared_redis",
]
