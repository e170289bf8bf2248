"""What changes in requests for a model, as extproc gets it."""

from pilotage_api.part import Part


class BoundSnapshot(Part):
    """Bounds of one number; decimal text, as it stands in a request."""

    name: str
    """As `transform_parameters.NUMBERS` has it."""
    minimum: str | None = None
    maximum: str | None = None
    default: str | None = None


class TransformSnapshot(Part):
    """One way to change requests; models that are changed alike share it."""

    name: str
    """`namespace/policy/number`."""
    prefix: str | None = None
    suffix: str | None = None
    replace: str | None = None
    bounds: tuple[BoundSnapshot, ...] = ()
    """By what requests call them, in order."""
    remove: tuple[str, ...] = ()
    """Sorted."""
