"""The people of the demo. They exist in the embedded portal alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSWORD: Final = "certportal-demo"


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    name: str
    who: str
    review_role: str = ""
    is_operator: bool = False


VENDOR: Final = Person("vendor@demo.example", "Vera Lindqvist", "vendor, owner of Northwind Cloud")
SECOND_VENDOR: Final = Person(
    "second.vendor@demo.example", "Tomasz Zielinski", "vendor, owner of Lakeside Systems"
)
REVIEWER: Final = Person("reviewer@demo.example", "Ruth Adeyemi", "reviewer", review_role="reviewer")
LEAD: Final = Person("lead@demo.example", "Luis Ferreira", "lead reviewer", review_role="lead_reviewer")
OPERATOR: Final = Person("operator@demo.example", "Olga Petrenko", "operator of the portal", is_operator=True)
PEOPLE: Final = (VENDOR, SECOND_VENDOR, REVIEWER, LEAD, OPERATOR)
