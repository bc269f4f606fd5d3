"""The plugin `media`: tools that make and edit images, speak, transcribe and make videos, by services behind HTTP.

Imports nothing slow: the HTTP client comes with the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agno_rt import hookimpl
from agno_rt.hookspecs import Register

if TYPE_CHECKING:
    from agno_rt.tools import Toolkit
    from agno_rt_media.settings import Kind
    from agno_rt_media.settings import MediaServer as MediaServer
    from agno_rt_media.toolkits import make_toolkit as make_toolkit

__all__ = ["MediaServer", "agno_rt_register_tools", "make_toolkit"]

_HELP: dict[Kind, str] = {
    "image": "Make an image from a text: media:image, media:image:MODEL.",
    "edit": "Make an image from images and a text: media:edit.",
    "speech": "Read a text aloud: media:speech.",
    "transcribe": "Write down the words of a sound file: media:transcribe.",
    "video": "Make a video from a text: media:video:evolink:MODEL.",
}


@hookimpl
def agno_rt_register_tools(register: Register) -> None:
    """Offer `media:image`, `media:edit`, `media:speech`, `media:transcribe` and `media:video`.

    Each takes a model, or a service and a model: `media:image:MODEL`, `media:image:evolink:MODEL`.
    """
    for kind, text in _HELP.items():
        register(kind, _make_factory(kind), help=text)


def _make_factory(kind: Kind) -> Callable[[str, Mapping[str, Any]], Toolkit]:
    def make(rest: str, settings: Mapping[str, Any]) -> Toolkit:
        from agno_rt_media.settings import choose
        from agno_rt_media.toolkits import make_toolkit

        return make_toolkit(kind, choose(kind, rest, settings))

    return make


def __getattr__(name: str) -> Any:
    if name == "MediaServer":
        from agno_rt_media.settings import MediaServer

        return MediaServer
    if name == "make_toolkit":
        from agno_rt_media.toolkits import make_toolkit

        return make_toolkit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
