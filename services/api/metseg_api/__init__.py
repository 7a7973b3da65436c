"""The API: takes uploads as jobs, answers for them, hands out results."""
