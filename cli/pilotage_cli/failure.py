"""Errors a user can mend."""


class CommandError(Exception):
    """Ends a command with one line that names what is wrong and the fix."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
