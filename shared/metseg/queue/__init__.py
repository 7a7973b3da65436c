"""The queue in Redis and RQ: dispatch, leases, notifications and recovery."""
