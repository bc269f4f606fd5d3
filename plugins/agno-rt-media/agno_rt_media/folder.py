"""The folder of finished files: writes files under new names, and reads files by name. Blocks; call in a thread.

Nothing outside of the folder is read or written: a name is one part of a path, and links are not followed.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from agno_rt.errors import UsageError
from agno_rt.media.types import BY_SUFFIX
from agno_rt.tools import ToolArgumentError

__all__ = ["Folder", "suffix_for"]

_PREFERRED = {"image/jpeg": "jpg", "image/tiff": "tiff", "audio/ogg": "ogg", "video/mp4": "mp4"}
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def suffix_for(media_type: str) -> str:
    """Return the usual suffix of files of the type, `bin` for an unknown type."""
    found = (suffix for suffix, type_ in BY_SUFFIX.items() if type_ == media_type)
    return _PREFERRED.get(media_type) or next(found, "bin")


class Folder:
    """A folder for files. The first file makes the folder.

    Attributes:
        root: the folder, as written in the settings
    """

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def check_ready(self) -> str:
        """Return the folder's place. Raises `UsageError` for a folder that cannot be written."""
        above = self.root
        while not above.exists() and above != above.parent:
            above = above.parent
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            hint = "Make the folder, check its permissions, or name another in `folder` of [plugins.media]."
            raise UsageError(f"files cannot be written into {str(self.root)!r}", hint=hint)
        return f"files go to {self.root}"

    def write(self, kind: str, suffix: str, data: bytes) -> Path:
        """Write a new file, and return its path. Raises `UsageError` if the file cannot be written."""
        name = f"{kind}-{secrets.token_hex(8)}.{suffix}"
        path, part = self.root / name, self.root / f".{name}.part"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o644)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                # Half a file must not pass for a finished one, also after a kill: `read` refuses hidden files.
                part.replace(path)
            except BaseException:
                with suppress(OSError):
                    part.unlink()
                raise
        except OSError as exc:
            hint = "Check the folder's permissions and the space on its disk."
            raise UsageError(f"{str(path)!r} cannot be written: {exc.strerror}", hint=hint) from exc
        return path

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a file. `name` is a file's name, or the path as told.

        Raises `ToolArgumentError` for a name outside of the folder, and for a file that is missing, larger than `most`
        bytes or not a regular file.
        """
        plain = name.removeprefix(f"{self.root}{os.sep}").removeprefix(f"{self.root.as_posix()}/")
        if not plain or plain.startswith(".") or "\0" in plain or Path(plain).name != plain or "\\" in plain:
            raise ToolArgumentError(f"{name!r} is not the name of a file in the folder {str(self.root)!r}")
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _SAFE
        try:
            number = os.open(self.root / plain, flags)
            found = os.fstat(number)
            # Before `open`, which refuses a folder and leaves its descriptor open.
            if not stat.S_ISREG(found.st_mode):
                os.close(number)
                raise ToolArgumentError(f"{plain!r} is not a regular file")
            with open(number, "rb") as file:
                data = file.read(most + 1) if found.st_size <= most else b""
        except OSError as exc:
            raise ToolArgumentError(f"{plain!r} cannot be read in the folder: {exc.strerror}") from None
        if not data or len(data) > most:
            size = "is empty" if not found.st_size else f"has {found.st_size:,} bytes, and at most {most:,} may be sent"
            raise ToolArgumentError(f"{plain!r} {size}")
        return data
