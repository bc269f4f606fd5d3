"""Details of runs: the line under an answer, its steps, and the view of stored runs."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect


def test_the_line_under_an_answer(chat: Any) -> None:
    """Model, time, tokens and cost are under the answer; unfolded, the steps, the id and the events."""
    chat.open("/forecaster")
    chat.asked("weather")
    details = chat.page.locator("details.run")
    expect(details.locator("summary").first).to_contain_text("1,210 tokens in, 39 out · $0.0021")
    expect(details.locator("summary").first).to_contain_text("test · ")
    details.locator("summary").first.click()
    expect(details.locator(".timeline .what")).to_have_text(["Turn 1: test", "weather", "Turn 2: test"])
    expect(details.locator(".timeline .about").first).to_have_text("10 tokens in, 5 out")

    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    details.get_by_role("button", name="Copy", exact=True).click()
    assert chat.page.evaluate("navigator.clipboard.readText()") == details.locator(".ids code").inner_text()
    details.locator(".raw summary").click()
    expect(details.locator(".raw pre")).to_contain_text('"type":"run_ended"')
    expect(details.locator(".raw pre")).to_contain_text('"type":"text_delta"')


def test_a_list_of_runs(chat: Any) -> None:
    """Stored runs are listed by status; the view of a run has facts, steps and JSON."""
    chat.open("/clerk")
    chat.asked("close the books")
    chat.asked("fail")
    chat.page.get_by_role("link", name="Runs").click()
    rows = chat.page.locator(".runs li")
    expect(rows.filter(has_text="close the books")).to_contain_text("clerk · completed")
    chat.page.get_by_role("button", name="failed", exact=True).click()
    expect(rows.filter(has_text="close the books")).to_have_count(0)
    rows.filter(has_text="fail").first.get_by_role("link").click()
    expect(chat.page.get_by_role("heading", name="fail")).to_be_visible()
    expect(chat.page.locator("#view .fault")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Resume")).to_be_visible()

    chat.page.get_by_role("link", name="All runs").click()
    rows.filter(has_text="close the books").first.get_by_role("link").click()
    view = chat.page.locator("#view")
    expect(view.locator(".facts")).to_contain_text("completed")
    expect(view.locator(".steps li")).not_to_have_count(0)
    expect(view.locator(".said")).to_have_text("You said close the books.")
    view.locator("details.raw summary").click()
    expect(view.locator("details.raw pre")).to_contain_text('"agent": "clerk"')
    view.get_by_role("link", name="Open it").click()
    expect(chat.page.locator(".asked").first).to_have_text("close the books")


def test_an_unknown_run(chat: Any) -> None:
    """The view of a run that the server does not know has the error, and a way back to the list."""
    chat.open("runs/unknown")
    expect(chat.page.locator("#view .fault")).to_contain_text("This server does not know the run", ignore_case=True)
    chat.page.get_by_role("link", name="All runs").click()
    expect(chat.page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    chat.complaints.clear()  # the browser's own line about the 404


def test_an_answer_in_the_view_of_its_run(chat: Any) -> None:
    """The answer of a stored run is shown as in the conversation; one in JSON is shown unchanged."""
    chat.open("/clerk")
    for answer, element in (("**bold**", ".said strong"), ('{"a": "**b**"}', "pre.block")):
        chat.asked(f"say {answer}")
        chat.page.get_by_role("link", name="Runs").click()
        chat.page.locator(".runs a").first.click()
        expect(chat.page.locator(f"#view {element}")).to_have_text(answer.strip("*"))
        chat.page.get_by_role("link", name="Open it").click()


def test_cancelling(chat: Any) -> None:
    """A waiting run can be cancelled in its view; then it waits no more."""
    chat.open("/keeper")
    chat.asked("delete")
    chat.page.get_by_role("link", name="Runs").click()
    chat.page.get_by_role("button", name="paused", exact=True).click()
    chat.page.locator(".runs li").first.get_by_role("link").click()
    chat.page.get_by_role("button", name="Cancel this run").click()
    expect(chat.page.locator(".facts .status")).to_have_text("cancelled")


def test_a_run_of_the_past(chat: Any) -> None:
    """After a reload a stored run is linked from its answer, and a failed run still has its place."""
    chat.open("/clerk")
    chat.asked("one")
    chat.asked("fail")
    chat.asked("two")
    chat.page.reload()
    expect(chat.page.locator(".asked")).to_have_text(["one", "fail", "two"])
    expect(chat.page.locator(".fault")).to_have_count(1)
    chat.page.locator(".run-link").first.click()
    expect(chat.page.get_by_role("heading", name="one")).to_be_visible()


def test_a_fork(chat: Any) -> None:
    """A run is forked in its view: the new run keeps the chosen steps, takes the other input, and is shown."""
    chat.open("/clerk")
    chat.asked("say first")
    chat.page.get_by_role("link", name="Runs").click()
    chat.page.locator(".runs li", has_text="say first").first.get_by_role("link").click()
    before = chat.page.url
    chat.page.get_by_role("button", name="Fork").click()
    chat.page.get_by_label("Keep").select_option("no step")
    chat.page.get_by_label("Another input").fill("say second")
    chat.page.get_by_role("button", name="Fork and run").click()
    expect(chat.page.get_by_role("heading", name="say second")).to_be_visible()
    expect(chat.page.locator("#view .said")).to_have_text("second")
    assert chat.page.url != before
