"""One attempt at a job: its process, lease, monitoring, scratch files and end."""
