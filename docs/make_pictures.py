"""The pictures of quickstart.md and gallery.md, made anew from the demo by the pages' own code: ``python docs/make_pictures.py``."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from PIL import Image

import genassoc as ga

HERE = Path(__file__).resolve().parent
PAGES = ("quickstart.md", "gallery.md")


def main() -> None:
    """Run the pages in a folder of their own and keep what they saved."""
    folder = Path(tempfile.mkdtemp(prefix="genassoc-pictures-"))
    os.chdir(folder)
    ga.demo(say=lambda line: None)
    for page in PAGES:
        names: dict[str, object] = {}
        for block in re.findall(r"```python\n(.*?)```", (HERE / page).read_text(encoding="utf-8"), re.S):
            exec(compile(block, page, "exec"), names)  # the page's own text
    for picture in sorted(folder.glob("*.png")):
        kept = HERE / "gallery" / picture.name
        # 128 colours are enough for a plot, and a quarter of the bytes.
        Image.open(picture).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(kept, optimize=True)
        print(f"{kept.relative_to(HERE.parent)}: {kept.stat().st_size / 1000:.0f} kB")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
