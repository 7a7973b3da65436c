"""`make gpu-check`: what a host with a GPU has to show, and the report that is sent back."""
