"""Defects of gang scheduling."""

DEFECTS: dict[str, tuple[str, str]] = {
    "gang-never-bound": ("1.36", "no gang is ever bound"),
    "gang-never-released": ("1.36", "a gang that did not fit once is never bound"),
    "gang-partial": ("1.36", "a gang that does not fit is bound in part"),
}
