"""From a path to a page: finds its view, hands it range and filters, and says what to do where there is nothing."""

from __future__ import annotations

import sqlite3
from importlib import import_module
from typing import Any, NamedTuple

from hapenny.console import render
from hapenny.console.desk import Desk, Empty, Go, Viewer
from hapenny.console.html.report import COIN
from hapenny.console.labels import Labels
from hapenny.console.place import CARRIED, FILTERS, RANGES, Place
from hapenny.console.sitemap import BY_PATH, GROUPS, PAGES, Page
from hapenny.console.views import explorer


class Said(NamedTuple):
    """What comes of a form: a status with its page, or with 303 where to go."""

    status: int
    body: str


class Pages:
    """All pages of a console.

    Args:
        desk: what views share.
        labels: the queue of labels.
        token: of forms.
        login: whether people log in, and so can leave.
    """

    def __init__(self, desk: Desk, labels: Labels, token: str, login: bool) -> None:
        self._desk, self._labels, self._token, self._login = desk, labels, token, login

    @staticmethod
    def prepare() -> None:
        """Loads what pages need, so that nobody's first visit waits for it."""
        for page in PAGES:
            if page.view != "labels":
                import_module(f"hapenny.console.views.{page.view}")
        render.prepare()

    def show(self, path: str, query: dict[str, str], who: str, viewer: Viewer) -> tuple[int, str]:
        """Status and page of a GET."""
        story = path.startswith("/requests/") and len(path) > len("/requests/")
        page = BY_PATH.get("/requests" if story else path)
        if page is None or (viewer.tenant is not None and not page.tenants):
            return 404, self._empty(None, viewer, Empty("There is no such page", "The menu has all there are."))
        place = Place.read(path, query, self._desk.clock.wall(), viewer.tenant)
        if page.view == "labels":
            return 200, self._filled(
                "plain.html", page, None, viewer, {"body": self._labels.show(query.get("who", who))}
            )
        try:
            if story:
                place.path = "/requests"
                values = explorer.story(self._desk, path.removeprefix("/requests/"), viewer)
                return 200, self._filled("story.html", page, place, viewer, values, heading="One request", live=False)
            values = self._made(page, place, viewer)
        except Empty as empty:
            return 404 if story else 200, self._empty(page, viewer, empty, place)
        return 200, self._filled(f"{page.view}.html", page, place, viewer, values)

    def say(self, path: str, form: dict[str, str], viewer: Viewer) -> Said:
        """What comes of a form."""
        page = BY_PATH[path]
        if viewer.tenant is not None:
            return Said(403, self._empty(page, viewer, Empty("Not with this key", "It needs a key of scope admin.")))
        if path == "/labels":
            problem = self._labels.say(form)
            if not problem:
                return Said(303, "/labels")
            body = self._labels.show(form.get("who", ""), problem)
            return Said(400, self._filled("plain.html", page, None, viewer, {"body": body}))
        carried = {name: value for name, value in form.items() if page.ranged and name in CARRIED}
        place = Place.read(path, carried, self._desk.clock.wall(), viewer.tenant)
        act = import_module(f"hapenny.console.views.{page.view}").act
        try:
            result = act(self._desk, form, viewer)
            if isinstance(result, Go):
                return Said(303, result)
            values = self._made(page, place, viewer)
        except Empty as empty:
            return Said(400, self._empty(page, viewer, empty, place))
        if isinstance(result, str):
            return Said(200, self._filled(f"{page.view}.html", page, place, viewer, values, notice=result))
        return Said(200, self._filled(f"{page.view}.html", page, place, viewer, values | result))

    def stale(self, path: str, form: dict[str, str], viewer: Viewer) -> Said:
        """A form that came with no token of ours."""
        problem = "This form is from another session of the console. Here is a fresh one."
        page = BY_PATH.get(path, PAGES[0])
        if path == "/labels":
            body = self._labels.show(form.get("who", ""), problem)
            return Said(403, self._filled("plain.html", page, None, viewer, {"body": body}))
        return Said(403, self._empty(page, viewer, Empty("Nothing was done", problem + " Open the page again.")))

    def _made(self, page: Page, place: Place, viewer: Viewer) -> dict[str, Any]:
        show = import_module(f"hapenny.console.views.{page.view}").show
        try:
            made: dict[str, Any] = show(self._desk, place, viewer)
        except sqlite3.OperationalError as error:
            self._desk.again()
            raise Empty(
                "The ledger cannot be read now", f"{error}. It is tried again with the next page; if it stays so, is"
                " the file there, and may this user read it?",
            ) from None  # fmt: skip
        except sqlite3.DatabaseError as error:
            self._desk.again()
            raise Empty(
                "The ledger is damaged", f"{error}. Restore it from a copy, or move it away: a new one is begun."
            ) from None
        return made

    def _empty(self, page: Page | None, viewer: Viewer, empty: Empty, place: Place | None = None) -> str:
        return self._filled("empty.html", page, place, viewer, {"empty": empty}, live=False)

    def _filled(
        self,
        template: str,
        page: Page | None,
        place: Place | None,
        viewer: Viewer,
        values: dict[str, Any],
        *,
        heading: str = "",
        live: bool | None = None,
        notice: str = "",
    ) -> str:
        title = heading or (page.title if page is not None else "Not here")
        again = bool(values.get("making"))
        return render.page(
            template,
            **{
                "title": title,
                "heading": title,
                "place": place,
                "here": page.path if page is not None else "",
                "ranged": page is not None and page.ranged and template != "story.html",
                "live": (
                    page.live and (place is None or place.live) if live is None and page is not None else bool(live)
                )
                or again,
                "again": again,
                "nav_groups": GROUPS,
                "nav_pages": [one for one in PAGES if viewer.tenant is None or one.tenants],
                "ranges": list(RANGES),
                "filter_names": FILTERS,
                "viewer": viewer,
                "token": self._token,
                "login": self._login,
                "coin": COIN,
                "notice": notice,
                "ledger": self._desk.config.ledger.path if self._desk.config.ledger is not None else "",
                **values,
            },
        )
