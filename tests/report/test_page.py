"""The page: complete, self-contained, harmless, the same every time."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

import retrodict.report.picture
from retrodict._core.errors import StorageError
from retrodict.report import ReportContent, render, write_report
from retrodict.trust import Informed, identifiability


VOID = {"meta", "img", "br", "input", "rect", "line", "circle", "path", "link"}


class Page(HTMLParser):
    """Reads a page: its tags, its text, and whether every tag was closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\u202f", " ").split())


@pytest.fixture
def undrawn(monkeypatch):
    """Spare the time of drawing where a test asks about something else."""
    blank = ("data:image/png;base64,AAAA", 10, 10)
    monkeypatch.setattr(retrodict.report.picture, "_encoded", lambda draw: blank)


@pytest.fixture(params=["influenza", "hare_lynx", "two_moons"], scope="module")
def drawn(request, maker):
    """A content and its page with all figures, drawn once for all tests."""
    content = maker(request.param)
    content = dataclasses.replace(content, names=content.names[:5])
    return content, render(content)


def test_page_is_whole_and_every_picture_was_drawn(drawn):
    content, html = drawn
    page = Page(html)
    assert page.open == []
    assert "could not be drawn" not in page.text
    assert content.title in page.text
    headings = {attrs.get("id") for attrs in page.all("section")}
    assert headings >= {"answer", "fit", "calibration", "training", "simulations"}
    # One pair plot, the series, ECDF and coverage, ranks, contraction, training.
    others = 5 + len(content.observed) + len(content.verdict.calibration.names)
    assert len(page.all("img")) == others + len(content.derived_names)


def test_what_the_data_inform_and_the_prior_predictive_are_shown(maker, rng, undrawn):
    content = maker("influenza")
    theta, prior = (
        np.stack([draws[name] for name in content.names], axis=1)
        for draws in (content.posterior, content.prior)
    )
    found = identifiability(prior, theta, names=content.names)
    told = Informed(
        found, found, ("offset",), {"beta": 0.4, "gamma": 0.99}, ("a = b, b = a",)
    )
    wide = {"x": content.predictive["x"] * rng.uniform(0, 3, (len(theta[:600]), 1))}
    content = dataclasses.replace(content, informed=told, prior_predictive=wide)
    page = Page(render(content))
    assert page.open == []
    assert {"informed", "before"} <= {a.get("id") for a in page.all("section")}
    sentences = *found.sentences, told.nuisance_sentence, told.symmetry_sentence
    for sentence in sentences:
        assert " ".join(sentence.split()) in page.text
    assert "by the factor: beta 0.40." in page.text
    without = Page(render(maker("influenza")))
    assert "informed" not in {a.get("id") for a in without.all("section")}


def test_page_can_load_and_run_nothing(drawn):
    _, html = drawn
    page = Page(html)
    (policy,) = (a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in page.tags
    }
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        for name in ("src", "href", "action", "data", "srcset"):
            target = attrs.get(name)
            assert target is None or re.match(r"data:image/|#", target), (tag, target)
    assert not re.search(r"@import|url\(|https?:", html)


def test_every_picture_has_alternative_text_and_a_caption(drawn):
    page = Page(drawn[1])
    for attrs in page.all("img"):
        assert len(attrs["alt"]) > 20
        assert int(attrs["width"]) > 0
    assert len(page.all("figcaption")) == len(page.all("figure"))


def test_the_verdict_comes_first_and_in_words(make_content, undrawn):
    for name, word, sentence in (
        ("influenza", "trusted", "This answer can be trusted"),
        ("hare_lynx", "caution", "Use this answer with caution"),
        ("two_moons", "rejected", "Do not use this answer"),
    ):
        text = Page(render(make_content(name))).text
        assert text.index(sentence) < text.index("The answer What is known")
        assert f"{word} {sentence}" in text


def test_checks_show_message_value_threshold_and_remedy(make_content, undrawn):
    content = make_content("two_moons")
    html = render(content)
    text = Page(html).text
    failed = content.verdict.checks[0]
    assert failed.message in text
    assert failed.remedy in text
    assert "value 0.087 · threshold 0.04" in text
    # What passed is there too, folded away.
    folded = html[html.index("<details>") : html.index("</details>")]
    for check in content.verdict.checks[1:]:
        assert check.message in folded
    assert failed.message not in folded


def test_warnings_about_the_observation_are_in_the_banner(make_content, undrawn):
    content = make_content("hare_lynx")
    text = Page(render(content)).text
    _, message, remedy = content.warnings[0]
    assert text.index(message) < text.index("The answer What is known")
    assert remedy in text


def test_a_trusted_answer_about_strange_data_says_so(make_content, undrawn):
    content = make_content(warnings=(("x", "Unlike all simulations.", ""),))
    assert "trusted, but look at the warning about your data" in render(content)


def test_all_numbers_are_on_the_page(drawn):
    content, html = drawn
    page = Page(html)
    raw = page.text[page.text.index('{ "summary"') :]
    stored = json.loads(raw[: raw.rindex("}") + 1])
    assert stored["summary"] == json.loads(json.dumps(content.summary))
    assert stored["scores"] == content.scores
    assert stored["provenance"] == content.provenance
    for value in content.provenance.values():
        assert value in page.text


def test_table_compares_with_the_baseline(make_content, undrawn):
    content = make_content()
    ours = content.summary["parameters"]["beta"]
    theirs = content.summary["baseline"]["parameters"]["beta"]
    text = Page(render(content)).text
    shift = (ours["mean"] - theirs["mean"]) / theirs["sd"]
    row = text[text.index("beta") :][:120]
    assert f"{ours['mean']:.3f} {ours['sd']:.3f} {ours['q05']:.3f} to" in row
    assert f"{theirs['mean']:.3f} ± {theirs['sd']:.3f}" in row
    assert f"{shift:+.2f}".replace("-", "\N{MINUS SIGN}") in row
    assert f"{ours['sd'] / theirs['sd']:.2f}" in row
    assert "C2ST 0.531" in text
    assert "NUTS on the exact likelihood" in text


def test_many_diagnostics_of_the_baseline_are_a_folded_table(make_content, undrawn):
    few = {f"number {i}": float(i) for i in range(12)}
    inline = dataclasses.replace(make_content(), baseline_diagnostics=few)
    assert "diagnostics of the baseline itself</summary>" not in render(inline)
    many = dataclasses.replace(inline, baseline_diagnostics={**few, "last": 0.25})
    page = render(many)
    assert "All 13 diagnostics of the baseline itself</summary>" in page
    assert "<bdi>last</bdi></th><td>0.25" in page


def test_disagreement_with_the_baseline_is_marked(make_content, undrawn):
    content = make_content()
    assert 'class="off"' not in render(content)
    entry = {"mean": 1.8, "sd": 0.09, "q05": 1.65, "q95": 1.95}
    summary = {**content.summary, "parameters": {"beta": entry}}
    html = render(dataclasses.replace(content, summary=summary))
    assert html.count('class="off"') == 2
    assert "Marked: more than 0.2 sd apart" in html


def test_times_are_written_for_people(make_content, undrawn):
    content = make_content(provenance={"train_s": "200.4", "odd_s": "text"})
    assert "time: train 3 min 20 s odd_s text" in Page(render(content)).text


def test_without_a_baseline_nothing_speaks_of_one(make_content, undrawn):
    text = Page(render(make_content("two_moons"))).text
    assert "baseline" not in text.split("All numbers of this page")[0].lower()


def test_several_observations_get_a_table(make_content, undrawn):
    content = make_content()
    item = {"name": "week 3", "parameters": {"beta": {"mean": 1.5, "sd": 0.25}}}
    summary = {**content.summary, "observations": [item]}
    text = Page(render(dataclasses.replace(content, summary=summary))).text
    assert "week 3 1.50 ± 0.25" in text


def bare():
    """The least that makes a page."""
    return ReportContent(
        title="Bare",
        summary={
            "parameters": {"a": {"mean": 0.0, "sd": 1.0, "q05": -1.6, "q95": 1.6}}
        },
        names=("a",),
        posterior={"a": np.random.default_rng(0).normal(size=500)},
    )


def test_the_least_content_makes_a_page():
    page = Page(render(bare()))
    assert "This answer has not been checked" in page.text
    assert len(page.all("img")) == 1


def test_the_same_content_gives_the_same_bytes(tmp_path):
    content = bare()
    one = write_report(tmp_path / "a.html", content).read_bytes()
    assert write_report(tmp_path / "b.html", content).read_bytes() == one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_what_cannot_be_written_is_a_storage_error(make_content, tmp_path, undrawn):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/report\.html"):
        write_report(tmp_path / "file" / "report.html", make_content("two_moons"))


@pytest.mark.parametrize("counts", [{"failed": 5}, {"failed": 5, "ok": 95, "x": 0}])
def test_failed_simulations_are_counted_in_the_open(counts):
    simulations = {"total": 100, "counts": counts, "errors": [("overflow", 5)]}
    html = render(dataclasses.replace(bare(), simulations=simulations))
    text = Page(html).text
    assert "ok 95 (95.00 %) failed 5 (5.00 %) 5 × overflow" in text
    assert "Failed runs are left out" in text


@pytest.mark.slow
def test_importing_the_report_does_not_import_matplotlib():
    code = "import sys, retrodict.report; sys.exit('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


def test_components_that_share_a_symbol_are_told_apart():
    labels = {"s[0]": r"$\sigma$", "s[1]": r"$\sigma$", "a": r"$\alpha$", "b": ""}
    content = dataclasses.replace(bare(), labels=labels)
    written = [content.label(n) for n in labels]
    assert written == [r"$\sigma$[0]", r"$\sigma$[1]", r"$\alpha$", "b"]


# --- what a study brings --------------------------------------------------------------


def test_figures_of_the_study_are_shown_with_their_captions():
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([1, 2, 3])
    html = render(dataclasses.replace(bare(), figures=(("The final size.", figure),)))
    assert "In the terms of the field The final size." in Page(html).text


def test_a_figure_that_cannot_be_drawn_does_not_cost_the_report():
    figure = Figure()
    figure.subplots().set_title(r"$\foo$")
    html = render(dataclasses.replace(bare(), figures=(("A broken one.", figure),)))
    text = Page(html).text
    assert "This figure could not be drawn. ValueError: \\foo" in text
    assert "A broken one." in text


# --- hostile names --------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd",
    "x" * 10_000,
    r"$\foo",
    r"$\foo$",
    r"$\frac{$",
    "a $ b",
    "{{ 7*7 }}{% raw %}",
    "</pre></details><b>",
    "\x00\x07\ud800",
    "日本語 🙂",
)


def _everywhere(content: ReportContent, name: str) -> ReportContent:
    """Put a name in the place of every name, unit, label and text."""
    swap = {content.names[0]: name}

    def renamed(mapping):
        return {swap.get(k, k): v for k, v in mapping.items()}

    summary = {**content.summary, "parameters": renamed(content.summary["parameters"])}
    return dataclasses.replace(
        content,
        title=name,
        field=name,
        description=name,
        source=name,
        model_name=name,
        summary=summary,
        names=(name, *content.names[1:]),
        posterior=renamed(content.posterior),
        prior=renamed(content.prior),
        labels={name: name},
        units={name: name},
        observed={name: content.observed["x"]},
        predictive={name: content.predictive["x"]},
        axes={},
        warnings=((name, name, name),),
        provenance={name: name, "command": name},
        simulations={"total": 3, "counts": {"ok": 2, name: 1}, "errors": [(name, 1)]},
        figures=((name, Figure(figsize=(1, 1))),),
        scores={name: 0.5},
    )


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_neither_break_nor_enter_the_page(
    name, make_content, tmp_path, undrawn
):
    plain = make_content("two_moons")
    html = write_report(tmp_path / "r.html", _everywhere(plain, name)).read_text()
    page = Page(html)
    assert page.open == []
    assert "could not be drawn" not in page.text
    assert {tag for tag, _ in page.tags} <= {
        tag for tag, _ in Page(render(_everywhere(plain, "fine"))).tags
    } | {"i", "sub", "sup"}
    assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
    assert "49" not in page.text.split("All numbers")[0].replace("0.49", "")
    # The longest name is cut wherever it stands, save in the JSON.
    assert max(map(len, page.text.split("All numbers")[0].split())) <= 2000


def test_hostile_names_are_drawn(make_content):
    content = _everywhere(make_content("two_moons"), HOSTILE[5])
    content = dataclasses.replace(content, figures=())
    assert "could not be drawn" not in render(content)
