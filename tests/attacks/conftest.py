"""A running API and a Redis for each test."""

from api_fixtures import anna, api, bert, locked, own_api, own_status_server, shared_api, shared_redis
from redis_fixture import redis_server, redis_url

__all__ = [
    "anna",
    "api",
    "bert",
    "locked",
    "own_api",
    "own_status_server",
    "redis_server",
    "redis_url",
    "shared_api",
    "shared_redis",
]
