"""A real Chromium, driven by Playwright: the one installed on this machine, without a window."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

from tests.parts.process import PartFailedError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium() -> str:
    """Its program.

    Raises:
        PartFailedError: there is none.
    """
    for name in _NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise PartFailedError("no Chromium here: apt-get install chromium")


POOR_CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length === 3) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".hidden, .skip, noscript")) continue;
    const drawn = e.closest("svg"), style = getComputedStyle(e);
    const ink = light(rgb(drawn ? style.fill : style.color));
    const paper = light(ground(drawn ? e.closest(".card") : e));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) poor.push(`${e.outerHTML.slice(0, 120)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
"""Text that WCAG 2 AA finds too faint for its background, in the page as it is drawn."""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A Playwright browser.

    Raises:
        PartFailedError: there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    # Its own sandbox wants a user other than root, or rights a container does not have.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield found
        found.close()


class Watched:
    """A page of the browser with everything it complained about."""

    def __init__(self, found: Any, *, width: int = 1360, scheme: str = "light") -> None:
        self.context = found.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        # A request that finds nobody is the browser's own complaint, not the page's.
        if message.type in ("error", "warning") and "net::ERR" not in message.text:
            self.complaints.append(message.text)

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(self.page.locator(selector).inner_text())
