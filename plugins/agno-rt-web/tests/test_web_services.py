"""Services, on a server that speaks their documented formats. None was tried at the real service.

The formats are from the pages that the modules of the toolkits name.
"""

from __future__ import annotations

from typing import Any

import pytest

KEY = "key-123456789"


def add_escape(text: str) -> str:
    """Return a text with signs for terminals, as services may send."""
    return f"{text}\x1b[0m"


async def test_hacker_news(site: Any, use: Any, answer: Any) -> None:
    """Stories come in their order; an unreadable story is left out. https://github.com/HackerNews/API"""
    item = {"by": "ann", "descendants": 71, "id": 8863, "kids": [1], "score": 104, "time": 1175714200, "type": "story"}
    item |= {"title": add_escape("A & B"), "url": "http://www.getdropbox.com/u/2/screencast.html"}
    ask = {"by": "bob", "id": 2, "text": "<p>Is <i>this</i> x &lt; y?", "time": 1, "title": "Ask HN", "type": "story"}
    site.answers |= {
        "/topstories.json": answer([2, 3, 8863, 5]),
        "/item/8863.json": answer(item),
        "/item/2.json": answer(ask),
        "/item/3.json": answer("null", headers={"content-type": "application/json"}),
    }
    top, story, missing = await use(
        "hackernews",
        site.serve_service("hackernews"),
        ("get_top_stories", {"limit": 3}),
        ("get_story_details", {"story_id": 8863}),
        ("get_story_details", {"story_id": 3}),
    )
    assert [each["id"] for each in top["stories"]] == [2, 8863]
    assert top["count"] == 2
    assert top["stories"][0]["text"] == "Is this x < y?"
    assert story == {
        "id": 8863,
        "title": "A & B[0m",
        "url": "http://www.getdropbox.com/u/2/screencast.html",
        "text": "",
        "score": 104,
        "by": "ann",
        "time": 1175714200,
        "time_string": "2007-04-04 19:16:40 UTC",
        "type": "story",
        "descendants": 71,
    }
    assert missing == "Hacker News has no story 3. Take the number from a list of stories."


async def test_hacker_news_are_searched(site: Any, use: Any, answer: Any) -> None:
    """The search is Algolia's. https://hn.algolia.com/api"""
    hit = {"objectID": "8863", "title": "T", "url": None, "points": 111, "author": "ann", "num_comments": 7}
    site.answers["/search"] = answer({"hits": [hit | {"created_at_i": 1175714200}, {}], "nbHits": 2})
    settings = site.serve_service("hackernews_search")
    [found] = await use("hackernews", settings, ("search_stories", {"query": "a b&c", "limit": 2}))
    assert site.asked[0].query == {"query": "a b&c", "tags": "story", "hitsPerPage": "2"}
    assert (found["query"], found["count"]) == ("a b&c", 2)
    first, empty = found["results"]
    assert (first["id"], first["score"], first["by"], first["descendants"]) == (8863, 111, "ann", 7)
    assert (empty["id"], empty["title"]) == (None, "")


PAPER = """<entry><id>http://arxiv.org/abs/hep-ex/0307015v1</id><published>2003-07-07T13:46:39-04:00</published>
<updated>2003-07-07T13:46:39-04:00</updated><title>Multi-Electron
 Production</title><summary>  Events are
 studied. </summary><author><name>H1 Collaboration</name></author><author><name>A. Aktas</name></author>
<arxiv:comment xmlns:arxiv="http://arxiv.org/schemas/atom">23 pages</arxiv:comment>
<arxiv:doi xmlns:arxiv="http://arxiv.org/schemas/atom">10.1140/x</arxiv:doi>
<link href="http://arxiv.org/abs/hep-ex/0307015v1" rel="alternate" type="text/html"/>
<link title="pdf" href="http://arxiv.org/pdf/hep-ex/0307015v1" rel="related" type="application/pdf"/>
<arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="hep-ex"/><category term="hep-ex"/></entry>"""


def make_feed(*entries: str) -> str:
    """Return a feed of arXiv."""
    return (
        '<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><opensearch:totalResults '
        'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">1000</opensearch:totalResults>'
        f"{''.join(entries)}</feed>"
    )


async def test_arxiv(site: Any, use: Any, answer: Any) -> None:
    """Papers are found and shown; errors are told in arXiv's words. The user's manual, sections 3.3 and 3.4."""
    error = "<entry><id>http://arxiv.org/api/errors#x</id><title>Error</title><summary>incorrect id</summary></entry>"
    feeds = [
        make_feed(PAPER),
        make_feed(PAPER),
        make_feed(error),
        make_feed(),
        "<feed",
        "<!DOCTYPE a [<!ENTITY a 'b'>]><a/>",
    ]
    site.answers["/query"] = [answer(feed, headers={"content-type": "application/atom+xml"}) for feed in feeds]
    details = ("get_paper_details", {"paper_id": "hep-ex/0307015"})
    found, paper, refused, missing, broken, bomb, unfit = await use(
        "arxiv",
        site.serve_service("arxiv"),
        ("search_papers", {"query": "all:electron", "max_results": 5}),
        *[details] * 5,
        ("get_paper_details", {"paper_id": "x&id_list=y"}),
    )
    assert site.asked[0].query == {
        "search_query": "all:electron",
        "start": "0",
        "max_results": "5",
        "sortBy": "relevance",
        "sortOrder": "descending",
    }
    assert (found["total_found"], found["max_results"], len(found["results"])) == (1000, 5, 1)
    shown = {
        "paper_id": "hep-ex/0307015v1",
        "title": "Multi-Electron Production",
        "summary": "Events are studied.",
        "authors": ["H1 Collaboration", "A. Aktas"],
        "published": "2003-07-07T13:46:39-04:00",
        "updated": "2003-07-07T13:46:39-04:00",
        "category": "hep-ex",
        "url": "http://arxiv.org/abs/hep-ex/0307015v1",
        "pdf_url": "http://arxiv.org/pdf/hep-ex/0307015v1",
        "doi": "10.1140/x",
        "comment": "23 pages",
    }
    assert found["results"] == [shown]
    assert paper == {"paper": shown}
    assert refused == "arXiv refuses the query: incorrect id. Change the query."
    assert missing.startswith("arXiv has no paper hep-ex/0307015")
    assert broken.startswith("the XML of arxiv is broken: unclosed token")
    assert bomb.startswith("the XML of arxiv declares entities")
    assert "do not fit its schema" in unfit


ARTICLE = """<?xml version="1.0"?><!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN"
 "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd"><PubmedArticleSet><PubmedArticle><MedlineCitation>
<PMID>123</PMID><Article><Journal><JournalIssue><PubDate><Year>2024</Year><Month>Mar</Month></PubDate></JournalIssue>
<Title>A Journal</Title></Journal><ArticleTitle>Of <i>mice</i></ArticleTitle><Abstract>
<AbstractText Label="METHODS">We <b>did</b> it.</AbstractText><AbstractText>Well.</AbstractText></Abstract><AuthorList>
<Author><LastName>Doe</LastName><ForeName>Ann</ForeName></Author>
<Author><CollectiveName>A Group</CollectiveName></Author>
</AuthorList></Article></MedlineCitation><PubmedData><ArticleIdList><ArticleId IdType="doi">10.1/x</ArticleId>
</ArticleIdList></PubmedData></PubmedArticle></PubmedArticleSet>"""


async def test_pubmed(site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Articles are found and shown with their abstracts. https://www.ncbi.nlm.nih.gov/books/NBK25499/"""
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    summary = {"uid": "123", "title": "T", "pubdate": "2024 Mar", "source": "J", "authors": [{"name": "Doe A"}]}
    summary |= {"fulljournalname": "A Journal", "articleids": [{"idtype": "doi", "value": "10.1/x"}]}
    site.answers |= {
        "/esearch.fcgi": [
            answer({"esearchresult": {"count": "42", "idlist": ["123", "x", "456"]}}),
            answer({"esearchresult": {"count": "0", "idlist": []}}),
            answer({"error": "API key invalid", "api-key": KEY}, 400),
        ],
        "/esummary.fcgi": answer({"result": {"uids": ["123"], "123": summary}}),
        "/efetch.fcgi": [answer(ARTICLE), answer("<PubmedArticleSet></PubmedArticleSet>")],
    }
    search = ("search_articles", {"query": "mice", "max_results": 3})
    details = ("get_article_details", {"article_id": "123"})
    found, none, refused, article, missing = await use(
        "pubmed", site.serve_service("pubmed"), search, search, search, details, details
    )
    assert site.asked[0].query == {
        "db": "pubmed",
        "tool": "agno-rt-web",
        "term": "mice",
        "retmax": "3",
        "retmode": "json",
        "sort": "relevance",
        "api_key": KEY,
    }
    assert site.asked[1].query["id"] == "123,456"
    assert (found["total_found"], none["results"]) == (42, [])
    url = "https://pubmed.ncbi.nlm.nih.gov/123/"
    assert found["results"] == [
        {"article_id": "123", "title": "T", "authors": ["Doe A"], "journal": "A Journal", "published": "2024 Mar"}
        | {"doi": "10.1/x", "url": url}
    ]
    assert refused == "pubmed answered 400: API key invalid. Change the question."
    assert article["article"] == {
        "article_id": "123",
        "title": "Of mice",
        "abstract": "METHODS: We did it.\nWell.",
        "authors": ["Ann Doe", "A Group"],
        "journal": "A Journal",
        "published": "2024 Mar",
        "doi": "10.1/x",
        "url": url,
    }
    assert missing == "PubMed has no article 123. Take the number from search_articles."


async def test_openweather(site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weather and forecast have the fields of the past. https://openweathermap.org/current and /forecast5"""
    monkeypatch.setenv("OPENWEATHER_API_KEY", KEY)
    main = {
        "temp": 284.2,
        "feels_like": 282.93,
        "temp_min": 283.06,
        "temp_max": 286.82,
        "pressure": 1021,
        "humidity": 60,
    }
    weather = {"main": main, "weather": [{"id": 501, "main": "Rain", "description": "moderate rain", "icon": "10d"}]}
    weather |= {
        "wind": {"speed": 4.09, "deg": 121, "gust": 3.47},
        "clouds": {"all": 83},
        "coord": {"lon": 7.367, "lat": 45.133},
    }
    site.answers |= {
        "/weather": [
            answer(
                weather | {"name": "Pragelato", "sys": {"country": "IT", "sunrise": 1726636384, "sunset": 1726680975}}
            ),
            answer({"cod": "404", "message": "city not found"}, 404),
            answer({"cod": 401, "message": f"Invalid API key {KEY}"}, 401),
        ],
        "/forecast": answer(
            {
                "cod": "200",
                "list": [weather | {"dt": 1661871600, "dt_txt": "2022-08-30 15:00:00"}] * 20,
                "city": {"name": "Zocca", "country": "IT", "coord": {"lat": 44.34, "lon": 10.99}},
            }
        ),
    }
    ask = ("get_current_weather", {"location": "Pragelato,IT"})
    current, missing, refused, forecast = await use(
        "openweather",
        site.serve_service("openweather"),
        *[ask] * 3,
        ("get_weather_forecast", {"location": "Zocca", "days": 2, "units": "imperial"}),
    )
    measured: dict[str, Any] = {
        "temperature": 284.2,
        "feels_like": 282.93,
        "temperature_min": 283.06,
        "temperature_max": 286.82,
    }
    measured |= {"pressure": 1021, "humidity": 60, "weather": "moderate rain", "wind_speed": 4.09}
    measured |= {"wind_direction": 121, "cloudiness": 83}
    place = {"location": "Pragelato", "country": "IT", "coordinates": "45.1330, 7.3670", "units": "metric"}
    assert current["current_weather"] == place | measured | {"sunrise": 1726636384, "sunset": 1726680975}
    assert site.asked[0].query == {"q": "Pragelato,IT", "units": "metric", "appid": KEY}
    assert missing == "openweather answered 404: city not found. Change the question."
    assert refused.startswith("openweather answered 401: Invalid API key ***. The key OPENWEATHER_API_KEY was refused.")
    assert len(forecast["weather_forecast"]["forecasts"]) == 16
    first = {"datetime": "2022-08-30 15:00:00", "timestamp": 1661871600, **measured}
    assert forecast["weather_forecast"]["forecasts"][0] == first
    assert (site.asked[3].query["cnt"], site.asked[3].query["units"]) == ("16", "imperial")


DUCKS = """<div id="links"><div class="result results_links result--ad"><a class="result__a" href="https://ad.test/">Ad</a>
<a class="result__snippet" href="https://ad.test/">Buy</a></div><div class="result results_links web-result">
<h2 class="result__title"><a rel="nofollow" class="result__a"
 href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fa.test%2F%3Fx%3D1%26y%3D2&amp;rut=1">
One &amp; <b>two</b></a></h2><a class="result__url" href="//duckduckgo.com/l/?uddg=x"> a.test </a>
<a class="result__snippet" href="//duckduckgo.com/l/?uddg=x">Some <b>words</b>.</a></div>
<div class="result web-result"><a class="result__a" href="https://b.test/">Three</a></div></div>"""


async def test_search_by_duckduckgo(site: Any, use: Any, answer: Any) -> None:
    """Results are read without advertisements, with their own addresses; a question for a person is an error."""
    html = {"content-type": "text/html"}
    site.answers["/html/"] = [
        answer(DUCKS, headers=html),
        answer('<div class="anomaly-modal">Select all ducks</div>', 202, html),
        answer("<p>No results.</p>", headers=html),
        answer(DUCKS, headers=html),
    ]
    settings = site.serve_service("duckduckgo")
    found, refused, none = await use("search", settings, *[("search", {"query": "a b", "max_results": 5})] * 3)
    one = {"title": "One & two", "url": "https://a.test/?x=1&y=2", "snippet": "Some words."}
    assert found == [one, {"title": "Three", "url": "https://b.test/", "snippet": ""}]
    assert none == []
    assert refused.startswith("DuckDuckGo asks for a person, and does not answer programs now")
    assert (site.asked[0].method, site.asked[0].body) == ("POST", b"q=a+b&kl=wt-wt")
    [listed] = await use("websearch", settings, ("web_search", {"query": "a b", "max_results": 1}))
    assert listed == {"query": "a b", "results": [one | {"position": 1}], "count": 1}


async def test_search_by_brave(site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is a header. https://api-dashboard.search.brave.com/app/documentation/web-search/get-started"""
    monkeypatch.setenv("BRAVE_API_KEY", KEY)
    results = [{"title": "A &amp; B", "url": "https://a.test/", "description": "Some <strong>words</strong>"}]
    error = {"type": "ErrorResponse", "error": {"code": "RATE_LIMITED", "detail": "Request rate limit exceeded"}}
    site.answers["/res/v1/web/search"] = [
        answer({"web": {"results": results}}),
        answer(error, 429, {"retry-after": "60"}),
    ]
    call = ("web_search", {"query": "q", "max_results": 3})
    found, refused = await use("websearch:brave", site.serve_service("brave"), call, call)
    assert found["results"] == [{"title": "A & B", "url": "https://a.test/", "snippet": "Some words", "position": 1}]
    assert site.asked[0].query == {"q": "q", "count": "3"}
    assert site.asked[0].headers["x-subscription-token"] == KEY
    assert refused == "brave answered 429: Request rate limit exceeded. Too many requests. Try again in 60 s."


async def test_search_by_searxng(site: Any, use: Any, answer: Any) -> None:
    """A server of one's own is asked, on a private network too. https://docs.searxng.org/dev/search_api.html"""
    found = {"query": "q", "results": [{"title": "T", "url": "https://a.test/", "content": "C", "engine": "x"}]}
    site.answers["/search"] = [answer(found), answer("Forbidden", 403)]
    call = ("web_search", {"query": "q"})
    settings = site.serve_service("searxng") | {"provider": "searxng"}
    listed, refused = await use("websearch", settings, call, call)
    assert listed["results"] == [{"title": "T", "url": "https://a.test/", "snippet": "C", "position": 1}]
    assert site.asked[0].query == {"q": "q", "format": "json"}
    assert "add json to search.formats" in refused
    [missing] = await use("websearch:searxng", {}, call)
    assert missing.startswith("searxng has no address. Tell your operator: Write base_url in")


async def test_a_service_inside_does_not_open_its_host_to_pages(site: Any, use: Any, answer: Any) -> None:
    """The address of a service is trusted for the service alone: a model cannot read other pages of the server."""
    site.answers["/search"] = answer({"results": []})
    settings = site.serve_service("searxng") | {"provider": "searxng", "ports": [site.port]}
    found, refused = await use(
        "websearch", settings, ("web_search", {"query": "q"}), ("extract_web_content", {"url": f"{site.url}/config"})
    )
    assert found["count"] == 0
    assert "not on the public internet" in refused


async def test_tavily(site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search, pages and their failures. https://docs.tavily.com/documentation/api-reference"""
    monkeypatch.setenv("TAVILY_API_KEY", KEY)
    result = {"title": "T", "url": "https://a.test/", "content": "C", "score": 0.9, "raw_content": None}
    page = {"url": "https://a.test/", "raw_content": "# Long\ntext" + "x" * 50_000}
    failed = {"results": [], "failed_results": [{"url": "https://b.test/", "error": "Failed to fetch url"}]}
    site.answers |= {
        "/search": answer({"query": "q", "answer": "Yes.", "results": [result], "response_time": 1.2}),
        "/extract": [answer({"results": [page], "failed_results": []}), answer(failed)],
    }
    found, read, missing, asked, listed = await use(
        "tavily",
        site.serve_service("tavily"),
        ("tavily_search", {"query": "q", "search_type": "news"}),
        ("tavily_reader", {"query": "https://a.test/"}),
        ("tavily_reader", {"query": "https://b.test/", "extract": False}),
        ("tavily_reader", {"query": "a question"}),
        ("tavily_search", {"query": "q", "search_type": "academic"}),
    )
    shown = {"title": "T", "url": "https://a.test/", "content": "C", "score": 0.9}
    assert found == {"answer": "Yes.", "results": [shown]}
    assert read["results"][0]["raw_content"].startswith("# Long\ntext")
    assert len(read["results"][0]["raw_content"]) == 20_000
    assert missing == "Tavily cannot read the page: Failed to fetch url. Use another address."
    assert asked == {"results": [shown]}
    assert "do not fit its schema" in listed
    assert {each.headers["authorization"] for each in site.asked} == {f"Bearer {KEY}"}
    assert b'"topic":"news"' in site.asked[0].body
    assert site.asked[1].body == b'{"urls":["https://a.test/"],"extract_depth":"advanced"}'


VIDEO = "dQw4w9WgXcQ"


async def test_youtube_by_key(site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos are found and shown. https://developers.google.com/youtube/v3/docs/search/list and videos/list"""
    monkeypatch.setenv("YOUTUBE_API_KEY", KEY)
    snippet = {"title": "A &amp; B", "channelTitle": "C", "description": "D", "publishedAt": "2009-10-25T06:57:33Z"}
    video = {"snippet": snippet | {"title": "A & B", "categoryId": "10", "tags": ["x", 1]}, "id": VIDEO}
    video |= {"contentDetails": {"duration": "PT1H2M3S"}, "statistics": {"viewCount": "1700000000", "likeCount": "5"}}
    quota = {
        "error": {"code": 403, "message": "The request cannot be completed", "errors": [{"reason": "quotaExceeded"}]}
    }
    site.answers |= {
        "/search": [answer({"items": [{"id": {"videoId": VIDEO}, "snippet": snippet}]}), answer(quota, 403)],
        "/videos": [answer({"items": [video]}), answer({"items": []})],
    }
    search, info = (
        ("search_youtube", {"query": "q"}),
        ("get_video_info", {"video_url": f"https://youtu.be/{VIDEO}?t=1"}),
    )
    found, refused, shown, missing = await use("youtube", site.serve_service("youtube"), search, search, info, info)
    url = f"https://www.youtube.com/watch?v={VIDEO}"
    assert found["results"] == [
        {"title": "A & B", "video_id": VIDEO, "url": url, "channel": "C", "description": "D"}
        | {"published": "2009-10-25T06:57:33Z"}
    ]
    assert site.asked[0].query == {"part": "snippet", "type": "video", "q": "q", "maxResults": "5"}
    assert all(each.headers["x-goog-api-key"] == KEY for each in site.asked)
    assert refused.startswith(
        "youtube answered 403: The request cannot be completed. The key YOUTUBE_API_KEY was refused"
    )
    assert (shown["title"], shown["duration"], shown["views"], shown["likes"]) == ("A & B", "1:02:03", 1_700_000_000, 5)
    assert shown["tags"] == ["x"]
    assert missing.startswith(f"YouTube has no video {VIDEO}")


async def test_youtube_without_a_key(site: Any, use: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Title and channel come by oEmbed; the search names the key. https://oembed.com"""
    monkeypatch.delenv("YOUTUBE_API_KEY", raising=False)
    found = {"title": "T", "author_name": "C", "author_url": "https://www.youtube.com/@c", "type": "video"}
    site.answers["/oembed"] = [answer(found), answer("Not Found", 404)]
    info = [
        ("get_video_info", {"video_url": url})
        for url in (f"https://www.youtube.com/shorts/{VIDEO}", VIDEO, "https://vimeo.com/1")
    ]
    shown, missing, other, refused = await use(
        "youtube", site.serve_service("youtube_oembed"), *info, ("search_youtube", {"query": "q"})
    )
    assert (shown["video_id"], shown["title"], shown["channel"]) == (VIDEO, "T", "C")
    assert site.asked[0].query == {"url": f"https://www.youtube.com/watch?v={VIDEO}", "format": "json"}
    assert missing.startswith(f"YouTube has no video {VIDEO}")
    assert "is not the address of a video" in other
    assert refused.startswith(
        "youtube needs an API key, and YOUTUBE_API_KEY is not set. Tell your operator: Set YOUTUBE"
    )


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"<html>busy</html>", 200, "answered with something other than JSON. Try again later."),
        (b'{"hits": ', 200, "something other than JSON"),
        (b"[" * 100_000, 200, "something other than JSON"),
        (b'{"hits": "x"}', 200, ""),
        (b"[]", 200, ""),
        (b'{"hits": [1, null, {"title": 5, "points": "x", "created_at_i": 1e300}]}', 200, ""),
        (b'"' + b"x" * 60_000 + b'"', 200, "is larger than allowed. Ask for fewer results."),
        (b"down", 502, "hackernews answered 502. The service is out of order. Try again later."),
        (b'{"message": {"a": ["b"]}}', 400, "hackernews answered 400. Change the question."),
    ],
)
async def test_nonsense_is_told(site: Any, use: Any, answer: Any, body: bytes, status: int, text: str) -> None:
    """An answer of another form is an empty result, or an error with a way on; the run goes on."""
    site.answers["/search"] = answer(body, status, {"retry-after": "0"})
    settings = site.serve_service("hackernews_search") | {"max_bytes": 50_000 if len(body) < 100_000 else 200_000}
    [result] = await use("hackernews", settings, ("search_stories", {"query": "q"}))
    if text:
        assert text in result
    else:
        assert result["count"] == len(result["results"])


async def test_services_are_asked_at_their_pace_and_again_after_a_failure(site: Any, use: Any, answer: Any) -> None:
    """A busy service is asked again, also by POST: a search changes nothing."""
    html = {"content-type": "text/html"}
    site.answers["/html/"] = [answer("busy", 503, {"retry-after": "0"}), answer(DUCKS, headers=html)]
    [found] = await use("search", site.serve_service("duckduckgo"), ("search", {"query": "q"}))
    assert len(found) == 2
    assert [each.body for each in site.asked] == [b"q=q&kl=wt-wt"] * 2
