"""Whether a body is sent as it is."""


def is_identity(coding: str) -> bool:
    """Whether a `content-encoding` changes nothing: empty, or `identity` any number of times, in any case.

    RFC 9110, section 8.4: a list of codings whose names are case-insensitive.
    """
    return all(one.strip().lower() in ("", "identity") for one in coding.split(","))
