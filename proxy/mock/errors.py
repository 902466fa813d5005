"""The error answers of the mock provider, before a dialect spells them."""


class MockError(Exception):
    """An answer that is an error.

    `param` names the field or header at fault; `type` and `code` are what a dialect's error
    object says of it, chosen from the status where they are absent.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        type: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.type = type
        self.code = code
        self.headers = headers or {}
