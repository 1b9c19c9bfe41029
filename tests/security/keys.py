"""A store that keeps any text as a key, also ``..`` and what begins with ``/``, as buckets do."""

from __future__ import annotations

from typing import Any, ClassVar

from fsspec import AbstractFileSystem, register_implementation


class KeyStore(AbstractFileSystem):
    """``keys://bucket/key``: what is listed are the keys as they are."""

    protocol = "keys"
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    """By bucket and key, with the slash between them."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("keys://")

    def _told(self, path: str) -> dict[str, Any]:
        return {"name": path, "size": len(self.objects[path]), "type": "file"}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path in self.objects:
            return self._told(path)
        if any(each.startswith(f"{path.rstrip('/')}/") for each in self.objects):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def find(self, path: str, maxdepth: int | None = None, detail: bool = False, **_: Any) -> Any:
        path = self._strip_protocol(path)
        base = f"{path.rstrip('/')}/"
        found = {p: self._told(p) for p in self.objects if p == path or p.startswith(base)}
        return found if detail else sorted(found)

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        base = f"{self._strip_protocol(path).rstrip('/')}/"
        rests = {p[len(base) :].split("/")[0] for p in self.objects if p.startswith(base)}
        if not rests:
            raise FileNotFoundError(path)
        found = [
            self._told(base + rest)
            if base + rest in self.objects
            else {"name": base + rest, "size": 0, "type": "directory"}
            for rest in sorted(rests)
        ]
        return found if detail else [each["name"] for each in found]

    def exists(self, path: str, **_: Any) -> bool:
        return self._strip_protocol(path) in self.objects

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[path][start:end]

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        with open(lpath, "wb") as file:
            file.write(self.cat_file(rpath))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        if mode == "create" and path in self.objects:
            raise FileExistsError(path)
        self.objects[path] = value

    def rm_file(self, path: str) -> None:
        del self.objects[self._strip_protocol(path)]

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass


register_implementation("keys", KeyStore, clobber=True)
