"""Media for a model: made of paths, bytes and URLs, with a detected type, and checked for a model."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_rt import media
from agno_rt.errors import UsageError
from agno_rt.messages import Media, Message
from agno_rt.models import ModelProfile
from tests.samples import BINARIES, PDF, PNG, WAV

MAKERS: dict[str, Callable[..., Media]] = {
    "image": media.image,
    "audio": media.audio,
    "video": media.video,
    "file": media.file,
}
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def error_text(make: Callable[..., Media], *args: Any, **options: Any) -> str:
    """Return the text of the raised error, with its hint."""
    with pytest.raises(UsageError) as caught:
        make(*args, **options)
    assert caught.value.hint, "an error says what to do"
    return caught.value.full_text


class TestSources:
    """Sources of media."""

    @pytest.mark.parametrize(("suffix", "sample"), BINARIES.items(), ids=BINARIES)
    def test_a_file_s_path(self, tmp_path: Path, suffix: str, sample: tuple[bytes, str]) -> None:
        """A path, as text or as a `Path`, is read; the part has the file's bytes, type and name."""
        path = tmp_path / f"a.b.{suffix.upper()}"
        path.write_bytes(sample[0])
        made = media.file(path)

        assert made == media.file(str(path))
        assert (made.kind, made.data, made.url, made.name) == ("file", sample[0], None, path.name)
        family = made.media_type.partition("/")[0]
        if family in MAKERS:
            assert MAKERS[family](path) == Media(family, made.media_type, sample[0], None, path.name)  # type: ignore[arg-type]  # it is one

    @pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
    def test_bytes(self, form: Callable[[bytes], Any]) -> None:
        """All kinds of bytes are accepted, and kept as `bytes`."""
        made = media.image(form(PNG))

        assert made == Media("image", "image/png", PNG)
        assert type(made.data) is bytes

    @pytest.mark.parametrize(
        ("url", "data", "kind"),
        [
            (PNG_URL, PNG, "image/png"),
            (PNG_URL.upper()[:4] + PNG_URL[4:].replace(";base64", " ; charset=x ; BASE64 "), PNG, "image/png"),
            (PNG_URL.rstrip("=").replace("=", "%3D").replace("/", "%2F", 5).replace("%2F", "/", 1), PNG, "image/png"),
            (f"data:;base64,{base64.encodebytes(PDF).decode()}", PDF, "application/pdf"),
            ("data:,a%20b", b"a b", "text/plain"),
            ("data:text/csv,a;b", b"a;b", "text/csv"),
            ("data:application/octet-stream;base64,AAEC", b"\0\1\2", "application/octet-stream"),
        ],
    )
    def test_a_data_url(self, url: str, data: bytes, kind: str) -> None:
        """A `data:` URL is decoded: percent escapes, and base64 even without padding or with line breaks."""
        assert media.file(url) == Media("file", kind, data)

    @pytest.mark.parametrize(
        ("make", "url", "kind", "name"),
        [
            (media.image, "https://example.com/a%20b.JPG?size=1", "image/jpeg", "a b.JPG"),
            (media.image, " http://example.com/cat ", "image/*", "cat"),
            (media.audio, "https://example.com/", "audio/*", None),
            (media.video, "https://example.com/v.webm", "video/webm", "v.webm"),
            (media.file, "https://example.com/a.pdf", "application/pdf", "a.pdf"),
            (media.file, "https://example.com/a", "application/octet-stream", "a"),
        ],
    )
    def test_a_url_is_passed_on(self, make: Callable[..., Media], url: str, kind: str, name: str | None) -> None:
        """A URL is not fetched: the part has the URL, with the type and name of its ending."""
        assert make(url) == Media(make.__name__, kind, None, url.strip(), name)  # type: ignore[arg-type]  # it is one

    @pytest.mark.parametrize(("suffix", "sample"), BINARIES.items(), ids=BINARIES)
    def test_whatever_it_is(self, suffix: str, sample: tuple[bytes, str]) -> None:
        """Without a kind, the type decides the kind of a part."""
        made = media.attachment(sample[0], name=f"a.{suffix}")

        assert made.kind == {"image": "image", "audio": "audio", "video": "video"}.get(made.media_type[:5], "file")
        assert made == MAKERS[made.kind](sample[0], name=f"a.{suffix}")
        assert media.attachment("https://example.com/a") == media.file("https://example.com/a")

    def test_what_is_said_goes_before_what_a_url_is_called(self) -> None:
        """A given type and name win over the URL's, in their usual form."""
        made = media.image("https://example.com/x.bin", media_type="Image/JPG; q=1", name="cat")

        assert made == Media("image", "image/jpeg", None, "https://example.com/x.bin", "cat")

    def test_what_the_bytes_leave_open(self) -> None:
        """The function called decides between sound and pictures in a container; for a file, a name or a type does."""
        ogg, mp4 = BINARIES["ogg"][0], BINARIES["mp4"][0]

        assert media.audio(ogg).media_type == "audio/ogg"
        assert media.video(ogg).media_type == "video/ogg"
        assert media.video(ogg, name="a.ogg").media_type == "video/ogg"
        assert media.audio(mp4, name="a.mp4").media_type == "audio/mp4"
        assert media.file(mp4, name="a.m4a").media_type == "audio/mp4"
        assert media.video(BINARIES["mov"][0], media_type="video/mp4").media_type == "video/mp4"
        assert media.file(b"{}", name="a.json").media_type == "application/json"
        assert media.file(b"\0\1", media_type="application/x-own").media_type == "application/x-own"
        assert media.file(b"\0\1").media_type == "application/octet-stream"
        assert media.file(PNG, media_type="application/octet-stream").media_type == "application/octet-stream"


class TestErrors:
    """Refused media, and their errors."""

    @pytest.mark.parametrize(
        ("make", "data", "options", "said"),
        [
            (media.image, PDF, {}, "the image is application/pdf, not an image\nUse file(...) for it."),
            (media.image, WAV, {}, "the image is audio/wav, not an image\nUse audio(...) for it."),
            (media.audio, PNG, {}, "the audio is image/png, not audio\nUse image(...) for it."),
            (media.video, PNG, {"name": "a.png"}, "a.png is image/png, not a video\nUse image(...) for it."),
            (media.image, b"\0\1", {}, "the image is of no known type, not an image\nGive media_type"),
            (media.image, PNG, {"name": "cat.jpg"}, "is image/png, and is named as image/jpeg"),
            (media.image, PNG, {"media_type": "image/gif"}, "is image/png, and was said to be image/gif"),
            (media.image, b"Not found", {"name": "cat.png"}, "is text/plain, and is named as image/png"),
            (media.file, b"\0\1", {"name": "a.pdf"}, "is of no known type, and is named as application/pdf"),
            (media.file, "Grüße".encode("latin-1"), {"name": "a.txt"}, "Text has to be UTF-8."),
            (media.image, PNG, {"media_type": "png"}, "media_type is 'png'\nWrite it as in 'image/png'."),
            (media.image, PNG, {"media_type": "image/*"}, "media_type is 'image/*'"),
            (media.image, PNG, {"media_type": ""}, "media_type is ''"),
            (media.image, b"", {}, "the image is empty"),
            (media.file, bytearray(), {"name": "a.txt"}, "a.txt is empty"),
            (media.image, PNG, {"max_bytes": 10}, f"it has {len(PNG)} bytes, and at most 10 bytes may be sent"),
            (media.image, PNG, {"max_bytes": 0}, "max_bytes is 0"),
            (media.image, PNG, {"max_bytes": True}, "max_bytes is True"),
            (media.image, PNG, {"max_bytes": 1.5}, "max_bytes is 1.5"),
        ],
    )
    def test_bytes(self, make: Callable[..., Media], data: bytes, options: dict[str, Any], said: str) -> None:
        """Bytes of another kind, empty bytes and too many bytes are refused."""
        assert said in error_text(make, data, **options)

    @pytest.mark.parametrize("source", [None, 5, "", ["a.png"], Path()])
    def test_what_is_no_source(self, source: Any) -> None:
        """Other values than paths, bytes and URLs are refused."""
        said = error_text(media.image, source)

        assert "the source of the image is" in said or "is a folder" in said

    def test_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names a missing, irregular, unreadable or too large file, or a folder."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "cat.png").write_bytes(PNG)
        (tmp_path / "empty.png").touch()

        assert error_text(media.image, "dog.png") == f"there is no file dog.png\nLooked in {tmp_path}."
        assert error_text(media.image, tmp_path / "no" / "dog.png").endswith("Check its path.")
        assert "is a folder" in error_text(media.image, tmp_path)
        assert "is not a regular file" in error_text(media.image, "/dev/null")
        assert "cannot be read" in error_text(media.image, "a\0b")
        assert "cannot be read: File name too long" in error_text(media.image, "a" * 5_000)
        assert "empty.png is empty" in error_text(media.image, "empty.png")
        too_large = f"cat.png is too large: it has {len(PNG)} bytes, and at most 20 bytes may be sent"
        assert too_large in error_text(media.image, "cat.png", max_bytes=20)
        assert media.image("cat.png", max_bytes=len(PNG)).data == PNG

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("ftp://example.com/a.png", "cannot be passed to a model\nGive an http:, https: or data: URL"),
            ("file:///a.png", "cannot be passed to a model"),
            ("https://", "https:// is not a valid URL"),
            ("https://[::1", "cannot be passed"),
            ("https://example.com:port/a.png", "cannot be passed"),
            ("https://example.com/a b.png", "is not a valid URL\nWrite it as in"),
            ("https://example.com/a.mp3", "is audio/mpeg, not an image"),
            ("data:image/png", "the data: URL of the image has no comma"),
            ("data:png;base64,AAAA", "gives the media type 'png'"),
            ("data:image/png;base64,A!AA", "is not base64"),
            ("data:image/png;base64,A", "is not base64"),
            ("data:image/png;base64,", "is empty"),
            ("data:image/gif;base64," + PNG_URL.partition(",")[2], "is image/png, and was said to be image/gif"),
        ],
    )
    def test_urls(self, url: str, said: str) -> None:
        """A URL with a wrong scheme or form is refused."""
        assert said in error_text(media.image, url)

    def test_large_data_urls_are_not_decoded(self) -> None:
        """A long `data:` URL is refused by its length, before decoding; a short URL by its bytes."""
        assert "it has more" in error_text(media.file, "data:," + "a" * 100, max_bytes=10)
        assert "it has 12 bytes" in error_text(media.file, "data:," + "a" * 12, max_bytes=10)

    def test_long_urls_are_shortened(self) -> None:
        """An error shows the beginning of a long URL, without control characters for a terminal."""
        said = error_text(media.image, "ftp://\x1b[31m" + "a" * 500)

        assert "\x1b" not in said
        assert len(said) < 200

    @given(st.text(max_size=30).map("data:".__add__) | st.binary(max_size=30))
    def test_anything_is_media_or_a_usage_error(self, source: str | bytes) -> None:
        """For any source, the only error is `UsageError`."""
        try:
            made = media.file(source)
        except UsageError:
            return
        assert made.data
        media.check_content((made,))


class TestContent:
    """The content of a message."""

    @pytest.mark.parametrize(
        "content", ["", "hi", (), ("a", Media("image", "image/png", PNG)), (Media("file", "a/b", None, "https://x"),)]
    )
    def test_what_is_well_formed(self, content: Any) -> None:
        """Text, and tuples of texts and media, pass."""
        media.check_content(content)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "a message's content is NoneType"),
            (["a"], "a message's content is list"),
            (("a", 5), "part 1 of a message is int"),
            ((PNG,), "part 0 of a message is bytes"),
            ((Media("picture", "image/png", PNG),), "is of kind 'picture'"),  # type: ignore[arg-type]  # the point
            ((Media("image", "png", PNG),), "and type 'png'"),
            ((Media("image", "image/png"),), "has neither data nor a URL"),
            ((Media("image", "image/png", PNG, "https://x"),), "has both data and a URL"),
            ((Media("image", "image/png", b""),), "has data that are empty"),
            ((Media("image", "image/png", "x"),), "has data that are str"),  # type: ignore[arg-type]  # the point
            ((Media("image", "image/png", None, "cat.png"),), "has a URL that is not of http or https"),
        ],
    )
    def test_what_is_not(self, content: Any, said: str) -> None:
        """The error names the part and its fault."""
        with pytest.raises(UsageError) as caught:
            media.check_content(content)
        assert said in caught.value.message
        assert caught.value.hint

    @pytest.mark.parametrize("source", [PNG, "https://example.com/cat"])
    def test_what_is_made_here_is_well_formed(self, source: Any) -> None:
        """Media of the functions pass."""
        media.check_content((media.image(source),))


def ask_with(*parts: str | Media) -> list[Message]:
    """Make a conversation of one question with the parts."""
    return [Message("user", parts)]


class TestForAModel:
    """The media of a request, and the model's accepted types."""

    @pytest.mark.parametrize(
        ("takes", "part"),
        [
            (None, media.video("https://example.com/v")),
            (("image/png",), media.image(PNG)),
            (("image/*",), media.image(PNG)),
            (("*/*",), media.file(PDF)),
            (("image/png",), media.image("https://example.com/cat")),
            (("text/x", "application/pdf"), media.file(PDF)),
            ((), media.file(b"a,b", name="a.csv")),
            ((), media.file(b"{}", media_type="application/json")),
        ],
    )
    def test_what_it_takes(self, takes: tuple[str, ...] | None, part: Media) -> None:
        """A model accepts media by type or family, anything if its types are unknown, and always text, sent as text."""
        media.check_media(ask_with("What is this?", part), ModelProfile(media=takes), "m")

    @pytest.mark.parametrize(
        ("takes", "part", "said"),
        [
            (
                (),
                media.image(PNG, name="cat.png"),
                "does not accept image/png, and was given [image cat.png, 69 bytes]",
            ),
            (("image/*",), media.audio(WAV), "the model m does not accept audio/wav"),
            (("image/jpeg",), media.image(PNG), "does not accept image/png"),
            (
                ("audio/*",),
                media.image("https://example.com/cat"),
                "does not accept image/*, and was given [image cat]",
            ),
            (("image/*",), media.file("https://example.com/a.txt"), "does not accept text/plain"),
            (("image/*",), Media("file", "text/plain", b"\xff"), "does not accept text/plain"),
        ],
    )
    def test_what_it_does_not_take(self, takes: tuple[str, ...], part: Media, said: str) -> None:
        """The error names the model, the part and the accepted types. A URL of a text counts as a file."""
        with pytest.raises(UsageError) as caught:
            media.check_media(
                [Message("system", "x"), *ask_with("What is this?", part)], ModelProfile(media=takes), "m"
            )
        assert said in caught.value.message
        assert caught.value.hint == (f"It accepts {', '.join(takes)}." if takes else "It accepts text only.")

    def test_how_much(self) -> None:
        """The bytes of a whole conversation count together."""
        conversation = [*ask_with(media.image(PNG)), Message("assistant", "A dot."), *ask_with(media.image(PNG))]
        media.check_media(conversation, ModelProfile(), "m", max_bytes=2 * len(PNG))

        with pytest.raises(UsageError, match=f"m have more than {2 * len(PNG) - 1:,} bytes together") as caught:
            media.check_media(conversation, ModelProfile(), "m", max_bytes=2 * len(PNG) - 1)
        assert "history" in caught.value.hint

    def test_files_of_text_become_text(self) -> None:
        """A text file is put in under its name; with text alone left, the content is a single string."""
        notes, image = media.file("\ufeffPort 7070.".encode(), name="a.md"), media.image(PNG)

        assert media.inlined("a") == "a"
        assert media.inlined(("Which port?", notes)) == "Which port?\n\na.md:\n\nPort 7070."
        assert media.inlined((media.file(b"x"), "y")) == "x\n\ny"
        assert media.inlined((notes, image)) == ("a.md:\n\nPort 7070.", image)
        assert media.inlined((media.image(b"<svg/>"),)) == (media.image(b"<svg/>"),)

    def test_a_url_of_anything(self) -> None:
        """Bytes become a `data:` URL, and the URL becomes the same part again; a URL stays the same."""
        assert media.data_url(media.image(PNG)) == PNG_URL
        assert media.image(media.data_url(media.image(PNG))) == media.image(PNG)
        assert media.data_url(media.image("https://example.com/cat")) == "https://example.com/cat"

    @pytest.mark.parametrize(
        ("part", "shown"),
        [
            (media.image(PNG), "[image image/png, 69 bytes]"),
            (Media("file", "a/b", b"x" * 12_345, None, "a.pdf"), "[file a.pdf, 12 kB]"),
            (Media("video", "video/mp4", b"x" * 2_500_000), "[video video/mp4, 2.5 MB]"),
            (
                Media("image", "image/*", None, f"https://example.com/{'a' * 99}"),
                "[image https://example.com/" + "a" * 39 + "…]",
            ),
        ],
    )
    def test_what_people_are_shown(self, part: Media, shown: str) -> None:
        """A description has the kind, the name, URL or type, and the size, but never the bytes."""
        assert media.described(part) == shown
        assert "xxx" not in repr(part)
