"""What the site takes from the code when it is built; mkdocs calls the functions named `on_`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PICTURES = ROOT / "Resources" / "Screenshots"
MODELS = ROOT / "FactorizerSegmentation" / "Resources" / "models"

COMMANDS = "<!-- commands -->"
"""Stands on a page where the reference of the command line belongs."""

LINK = re.compile(r"(?<=\]\()(?:\.\./)+[^)\s#]+")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+)\$", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pictures of the README and of models' cards are the site's, too."""
    for path in [*sorted(PICTURES.iterdir()), *sorted(MODELS.glob("*/docs/atlas/*.svg"))]:
        files.append(File.generated(config, _place_on_site(path), abs_src_path=str(path)))
    return files


def _place_on_site(picture: Path) -> str:
    if picture.is_relative_to(MODELS):
        return f"pictures/{picture.relative_to(MODELS).as_posix()}"
    return f"pictures/{picture.name}"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the commands, set the formulas, and lead links out of docs/ to where they are."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    if page.meta.get("mathematics"):
        parts = CODE.split(markdown)
        parts[::2] = [FORMULA.sub(_as_mathml, part) for part in parts[::2]]
        markdown = "".join(parts)
    return LINK.sub(lambda link: _from_page(link.group(), page, config), markdown)


def command_reference() -> str:
    """All commands and their options, as typer itself describes the app; headings from level 2."""
    code = ROOT / "FactorizerSegmentation"
    search = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "typer", "factorizer_engine.cli.app", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "factorizer"],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PluginError(f"The commands cannot be described: {done.stderr.strip()}")
    return re.sub(r"^#", "##", done.stdout, flags=re.MULTILINE)


def _as_mathml(formula: re.Match[str]) -> str:
    """The formula as the browser sets it, without any script."""
    if formula["block"]:
        return f"<div>{convert(formula['block'], display='block')}</div>"
    return f"<span>{convert(formula['inline'])}</span>"


def _from_page(link: str, page: Page, config: MkDocsConfig) -> str:
    """A link that is right in the repository, as it is right on the site.

    Raises:
        PluginError: If it leads nowhere.
    """
    target = Path(os.path.normpath((DOCS / page.file.src_uri).parent / link))
    if target.is_relative_to(DOCS):
        return link
    if not target.exists():
        raise PluginError(f"{page.file.src_uri} links to {link}, which is not there.")
    if target.parent == PICTURES or target.suffix == ".svg":
        return get_relative_url(_place_on_site(target), page.file.src_uri)
    kind = "tree" if target.is_dir() else "blob"
    return f"{config.repo_url.rstrip('/')}/{kind}/main/{target.relative_to(ROOT).as_posix()}"
