"""A PRODUCT.yaml as the body of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from rest_framework.parsers import BaseParser

from conformance import bundle
from conformance.document import MAX_BYTES


@dataclass(frozen=True, slots=True)
class Document:
    """A document; one byte more than the limit at most, so that the reader can say it is too large."""

    data: bytes


class DocumentParser(BaseParser):
    """Takes the body as it is: reading it is the judge's work."""

    media_type = "application/yaml"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return Document(stream.read(MAX_BYTES + 1))


class OlderDocumentParser(DocumentParser):
    media_type = "application/x-yaml"


class TextDocumentParser(DocumentParser):
    media_type = "text/yaml"


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle; one byte more than the limit at most."""

    data: bytes


class BundleParser(BaseParser):
    """Takes the body as it is: unpacking it, with all due care, is the service's work."""

    media_type = "application/zip"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return Packed(stream.read(bundle.MAX_BUNDLE + 1))


DOCUMENT_PARSERS = (DocumentParser, OlderDocumentParser, TextDocumentParser)
