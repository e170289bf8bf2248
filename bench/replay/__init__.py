"""A fixed sequence of requests through the real picker in one process, without sockets."""
