"""Defects of the operator and of its webhook."""

DEFECTS: dict[str, tuple[str, str]] = {
    "operator-definition-conflict": ("1.36", "the definition of the operator's kind is not established"),
    "operator-does-not-reconcile": ("1.36", "the operator runs and admits but never acts"),
    "operator-kind-not-served": ("1.36", "no version of the operator's kind is served"),
    "operator-makes-nothing": ("1.36", "the operator reports on its resources and makes nothing for them"),
    "operator-missing": ("1.36", "no operator is installed"),
    "operator-pods-down": ("1.36", "the operator's pods crash"),
    "operator-status-stale": (
        "1.36",
        "the operator says it has seen an earlier generation than the present one",
    ),
    "schema-only-validation": ("1.36", "invalid objects are refused by the schema, before any webhook"),
    "webhook-accepts-anything": ("1.36", "the operator's webhook accepts invalid objects"),
    "webhook-missing": ("1.36", "the operator has no webhook"),
    "webhook-rejects-everything": ("1.36", "the operator's webhook rejects valid objects as well"),
}
