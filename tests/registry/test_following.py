"""Following: what is followed, signing up, leaving, and being told exactly once."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail, signing
from django.core.management import call_command
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from conformance.cluster.guard import NetworkPolicy
from registry import following_services as following
from registry import following_webhooks, services
from registry.following import Scope, ScopeError
from registry.following_models import Announcement, Delivery, Subscription
from tests.registry.factories import CertificateFactory
from tests.registry.receivers import Receiver, Request, receiving
from tests.registry.signing import clock

pytestmark = pytest.mark.django_db
Status = Subscription.Status
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """The doorbells that were rung; nobody answers them."""
    rung: list[tuple[str, tuple[int, ...]]] = []
    monkeypatch.setattr(
        following.current_app,
        "send_task",
        lambda name, args=(): rung.append((name.rpartition(".")[2], tuple(args))),
    )
    return rung


def follower(query: str = "", *, email: str = "ada@example.org", **values: Any) -> Subscription:
    """Somebody whose address is confirmed."""
    following.sign_up_by_mail(email=email, query=query, kinds=values.pop("kinds", []), language="en")
    subscription = Subscription.objects.get(email=email, query=query)
    Subscription.objects.filter(pk=subscription.pk).update(link_sent_at=NOW)
    following.confirm(subscription=subscription)
    subscription.refresh_from_db()
    return subscription


def everything_told(now: datetime = NOW) -> None:
    """What the workers do, one after the other."""
    with clock(now):
        following.announce_changes()
        for pk in Subscription.objects.waiting(now).values_list("pk", flat=True):
            following.deliver(subscription_id=pk)


def issued(name: str = "Harbour", **values: Any) -> Any:
    return CertificateFactory(platform_name=name, **{"on": TODAY, "vendor": "Old Harbour", **values})


def subjects() -> list[str]:
    return [message.subject.partition("] ")[2] for message in mail.outbox]


# --- What is followed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("vendor=Old Harbour&status=active&page=3", "vendor=old-harbour"),
        ("kubernetes_version=v1.35.3&on=2026-01-01", "kubernetes_version=1.35&ordering=vendor"),
        ("number=aik-2026-0001", "number=AIK-2026-0001"),
        ("search=", ""),
    ],
)
def test_two_addresses_that_mean_the_same_are_one_scope(one: str, other: str) -> None:
    issued()
    assert Scope.read(QueryDict(one).dict()) == Scope.read(QueryDict(other).dict())


def test_scope_that_cannot_be_understood_says_why() -> None:
    with pytest.raises(ScopeError, match="no Kubernetes version"):
        Scope.read({"kubernetes_version": "new"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"Harbour", "Fjord"}),
        ("vendor=old-harbour", {"Harbour"}),
        ("vendor=old-harbour&platform=fjord", set()),
        ("vendor=northern&platform=fjord", {"Fjord"}),
        ("kubernetes_version=1.36", {"Fjord"}),
        ("requirement=gang_scheduling", {"Harbour", "Fjord"}),
        ("requirement=dra_support", set()),
        ("assurance=portal_verified&search=fjo", {"Fjord"}),
        ("configuration=air-gapped", {"Fjord"}),
    ],
)
def test_scope_finds_what_the_list_finds(query: str, expected: set[str]) -> None:
    issued()
    issued("Fjord", vendor="Northern", kubernetes_version="1.36", configuration="air-gapped")
    scope = Scope.kept(Scope.read(QueryDict(query).dict()).query)
    assert {row.platform_name for row in scope.certificates()} == expected


def test_names_of_what_is_not_public_yet_are_not_told() -> None:
    issued("Secret Launch", vendor="Hidden GmbH", on=TODAY + DAY)
    scope = Scope.read({"vendor": "hidden-gmbh", "platform": "secret-launch"})
    assert [value for _label, value in scope.words] == ["hidden-gmbh", "secret-launch"]


# --- Signing up --------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_link_was_opened_and_confirmed(client: Client, rings: list[Any]) -> None:
    answer = client.post("/follow/mail/", {"email": "Ada@Example.org", "kinds": ["issued"]})
    assert answer.status_code == 200
    [subscription] = Subscription.objects.all()
    assert (subscription.email, subscription.status) == ("ada@example.org", Status.PENDING)
    assert following.send_link(subscription_id=subscription.pk)
    issued()
    everything_told()
    assert subjects() == ["Please confirm that you want to follow changes"]

    [link] = re.findall(r"http://127.0.0.1:8000(/follow/confirm/\S+)", mail.outbox[0].body)
    assert client.get(link).status_code == 200  # a scanner of mails looks, and confirms nothing
    subscription.refresh_from_db()
    assert subscription.status == Status.PENDING
    page = client.post(link, follow=True)
    assert page.redirect_chain[0][0].startswith("/follow/manage/")
    subscription.refresh_from_db()
    assert subscription.status == Status.ACTIVE


def test_sign_up_answers_the_same_whether_or_not_the_address_is_known(
    client: Client, rings: list[Any]
) -> None:
    follower(email="known@example.org")
    answers = []
    for email in ("known@example.org", "other@example.org"):
        answer = client.post("/follow/mail/", {"email": email, "kinds": ["issued"]})
        answers.append((answer.status_code, answer.content.decode().replace(email, "…")))
    assert answers[0] == answers[1]


def test_who_follows_already_is_sent_the_way_to_it(rings: list[Any]) -> None:
    subscription = follower()
    later = NOW + 11 * MINUTE
    following.sign_up_by_mail(email="ada@example.org", query="", kinds=[], language="en", now=later)
    assert following.send_link(subscription_id=subscription.pk, now=later)
    assert subjects() == ["You follow these changes already"]
    assert Subscription.objects.count() == 1


def test_mailbox_cannot_be_filled_by_asking_often(rings: list[Any]) -> None:
    for turn in range(3):
        moment = NOW + turn * MINUTE
        following.sign_up_by_mail(email="ada@example.org", query="", kinds=[], language="en", now=moment)
        following.send_link(subscription_id=Subscription.objects.get().pk, now=moment)
    assert len(mail.outbox) == 1
    for number in range(9):
        following.sign_up_by_mail(
            email="ada@example.org", query=f"search={number}", kinds=[], language="en", now=NOW
        )
    assert Subscription.objects.count() == following.WAITING_AT_MOST


def test_sign_up_is_limited_for_each_client(client: Client, rings: list[Any], settings: Any) -> None:
    settings.FOLLOW_SIGNUPS_PER_HOUR = 2
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": f"follow-{uuid4()}"}}
    codes = [
        client.post(
            "/follow/mail/", {"email": f"{n}@example.org", "kinds": ["issued"]}, REMOTE_ADDR="192.0.2.77"
        ).status_code
        for n in range(3)
    ]
    assert codes == [200, 200, 429]
    elsewhere = client.post(
        "/follow/mail/", {"email": "x@example.org", "kinds": ["issued"]}, REMOTE_ADDR="192.0.2.78"
    )
    assert elsewhere.status_code == 200


def test_link_that_confirms_runs_out_and_the_address_is_forgotten(client: Client, rings: list[Any]) -> None:
    following.sign_up_by_mail(email="ada@example.org", query="", kinds=[], language="en")
    subscription = Subscription.objects.get()
    token = following.link_token(subscription, "confirm")
    assert following.forget(now=NOW + 7 * DAY) == {"forgotten": 0}
    assert following.forget(now=NOW + 7 * DAY + MINUTE) == {"forgotten": 1}
    assert client.post(f"/follow/confirm/{token}/").status_code == 410


@pytest.mark.parametrize("purpose", ["confirm", "stop", "manage"])
def test_link_of_one_purpose_or_changed_opens_nothing_else(client: Client, purpose: str, rings: Any) -> None:
    subscription = follower()
    others = {"confirm", "stop", "manage"} - {purpose}
    tokens = [following.link_token(subscription, other) for other in others]
    tokens += [following.link_token(subscription, purpose)[:-1], "1.x:y", "x"]
    for token in tokens:
        assert client.post(f"/follow/{purpose}/{token}/").status_code == 410
    assert Subscription.objects.count() == 1
    with pytest.raises(signing.BadSignature):
        following.subscription_of(tokens[0], purpose)


def test_pages_behind_a_link_are_kept_by_nobody_and_lead_nowhere_else(client: Client, rings: Any) -> None:
    page = client.get(f"/follow/manage/{following.link_token(follower(), 'manage')}/")
    assert "no-store" in page["Cache-Control"]
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["X-Robots-Tag"] == "noindex, nofollow"


def test_no_page_of_following_sets_a_cookie(client: Client, rings: Any) -> None:
    token = following.link_token(follower(), "manage")
    for path in ("/follow/", "/follow/?vendor=old-harbour", f"/follow/manage/{token}/"):
        assert not client.get(path).cookies
    assert client.get("/follow/")["Cache-Control"] == "public, max-age=60"


# --- Leaving -----------------------------------------------------------------------------------------------


def test_mail_program_ends_it_with_one_click(client: Client, rings: Any) -> None:
    subscription = follower()
    issued()
    everything_told()
    [message] = mail.outbox
    headers = message.message()
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = headers["List-Unsubscribe"].strip("<>").removeprefix("http://127.0.0.1:8000")
    assert link in message.body
    assert client.get(link).status_code == 200
    assert Subscription.objects.filter(pk=subscription.pk).exists()  # looking ends nothing
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(link, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert not Subscription.objects.exists()
    assert not Delivery.objects.exists()
    assert strict.post(link).status_code == 200  # once more does no harm


def test_manage_page_ends_one_or_all_of_an_address_and_nobody_elses(client: Client, rings: Any) -> None:
    first, second, third = follower(), follower("vendor=old-harbour"), follower("number=AIK-2026-0001")
    other = follower(email="grace@example.org")
    page = f"/follow/manage/{following.link_token(first, 'manage')}/"
    client.post(page, {"action": "stop", "subscription": str(other.pk)})
    assert Subscription.objects.count() == 4
    client.post(page, {"action": "stop", "subscription": str(second.pk)})
    assert set(Subscription.objects.values_list("pk", flat=True)) == {first.pk, third.pk, other.pk}
    client.post(page, {"action": "stop-all"})
    assert list(Subscription.objects.values_list("pk", flat=True)) == [other.pk]


def test_kinds_can_be_changed(client: Client, rings: Any) -> None:
    subscription = follower()
    page = f"/follow/manage/{following.link_token(subscription, 'manage')}/"
    assert client.post(page, {"action": "kinds"}).status_code == 422
    client.post(page, {"action": "kinds", "kinds": ["revoked", "suspended"]})
    subscription.refresh_from_db()
    assert subscription.kinds == "suspended revoked"
    certificate = issued()
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=TODAY)
    everything_told()
    assert subjects() == ["Suspended: Harbour 1.0"]


def test_operator_deletes_an_address_on_request(rings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    follower()
    follower("vendor=old-harbour")
    kept = follower(email="grace@example.org")
    following.sign_up_by_webhook(url="https://receiver.example/", query="", kinds=[], language="en")
    call_command("forget_follower", " Ada@Example.org ")
    call_command("forget_follower", "https://receiver.example/")
    assert capsys.readouterr().out == "2 subscriptions were deleted.\n1 subscriptions were deleted.\n"
    call_command("forget_follower", "")
    assert list(Subscription.objects.all()) == [kept]


# --- Being told ------------------------------------------------------------------------------------------


def test_every_kind_of_change_is_told_once(rings: Any) -> None:
    follower()
    first = issued()
    everything_told()
    services.suspend_certificate(certificate=first, reason="Link is dead.", on=TODAY)
    everything_told()
    services.reinstate_certificate(certificate=first, reason="Back.", on=TODAY)
    everything_told()
    second = issued()  # renews
    everything_told()
    services.revoke_certificate(certificate=second, reason="Wrong.", on=TODAY)
    everything_told()
    everything_told()
    assert subjects() == [
        "Certified: Harbour 1.0",
        "Suspended: Harbour 1.0",
        "Reinstated: Harbour 1.0",
        "2 changes of certificates",
        "Revoked: Harbour 1.0",
    ]
    assert "Link is dead." in mail.outbox[1].body
    assert "Superseded: Harbour 1.0" in mail.outbox[3].body
    assert "Renewed: Harbour 1.0" in mail.outbox[3].body


def test_expiry_and_revocation_by_the_calendar_are_told(rings: Any) -> None:
    follower()
    with clock(NOW - 364 * DAY):
        old = issued("Old", on=TODAY - 364 * DAY)
        Announcement.objects.update(announced_at=NOW)
    with clock(NOW + DAY):
        services.expire_certificates(today=old.expires_on)
    everything_told(NOW + DAY)
    assert subjects() == ["Expired: Old 1.0"]


def test_only_those_who_follow_it_are_told(rings: Any) -> None:
    follower("vendor=old-harbour", email="ada@example.org")
    follower("vendor=northern", email="grace@example.org")
    follower("vendor=old-harbour", email="linus@example.org", kinds=["revoked"])
    issued()
    everything_told()
    assert [message.to for message in mail.outbox] == [["ada@example.org"]]


def test_what_is_embargoed_is_told_on_the_day_it_becomes_public(rings: Any) -> None:
    follower()
    issued("Secret Launch", on=TODAY + 3 * DAY)
    everything_told()
    everything_told(NOW + 2 * DAY)
    assert not Delivery.objects.exists()
    assert mail.outbox == []
    everything_told(NOW + 3 * DAY)
    assert subjects() == ["Certified: Secret Launch 1.0"]


def test_history_that_is_taken_over_is_no_news(rings: Any) -> None:
    follower()
    issued("Old", on=TODAY - 31 * DAY, imported=True)
    everything_told()
    assert mail.outbox == []


def test_lost_doorbell_is_found(rings: list[Any]) -> None:
    subscription = follower()
    issued()
    del rings[:]
    found = following.reconcile_following()
    assert (found["announced"], found["waiting"]) == (1, 1)
    assert following.deliver(subscription_id=subscription.pk) == 1


def test_reconciler_rings_for_links_and_deliveries_that_wait(
    rings: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    following.sign_up_by_mail(email="new@example.org", query="", kinds=[], language="en")
    waiting = follower()
    issued()
    following.announce_changes()
    with django_capture_on_commit_callbacks(execute=True):
        following.reconcile_following()
    pending = Subscription.objects.get(email="new@example.org")
    assert ("send_link_task", (pending.pk,)) in rings
    assert ("deliver_task", (waiting.pk,)) in rings


def test_mail_server_that_fails_is_asked_again_with_the_same_message_id(
    rings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = follower()
    issued()
    tried: list[str] = []

    def refuse(message: Any, **_options: Any) -> int:
        tried.append(message.extra_headers["Message-ID"])
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.EmailMessage.send", refuse)
        everything_told()
        everything_told()  # not before its time
    issued("Fjord")
    following.announce_changes()
    everything_told(NOW + 2 * MINUTE)
    everything_told(NOW + 2 * MINUTE)
    assert subjects() == ["Certified: Harbour 1.0", "Certified: Fjord 1.0"]
    assert tried == [mail.outbox[0].extra_headers["Message-ID"]]
    assert set(subscription.deliveries.values_list("attempts", flat=True)) == {1, 2}


def test_only_the_holder_of_the_lease_delivers(rings: Any) -> None:
    subscription = follower()
    issued()
    following.announce_changes()
    Subscription.objects.update(leased_until=NOW + MINUTE)
    assert following.deliver(subscription_id=subscription.pk) == 0
    # Whoever held it is gone: the next one may.
    assert following.deliver(subscription_id=subscription.pk, now=NOW + 2 * MINUTE) == 1
    assert len(mail.outbox) == 1


def test_announcing_twice_makes_one_delivery(rings: Any) -> None:
    follower()
    issued()
    following.announce_changes()
    Announcement.objects.update(announced_at=None)
    following.announce_changes()
    assert Delivery.objects.count() == 1


def test_followers_of_one_filter_cost_one_question(rings: Any) -> None:
    counts = []
    for emails in (["a@example.org"], ["b@example.org", "c@example.org"]):
        for email in emails:
            follower("vendor=old-harbour", email=email)
        issued(f"Platform {emails[0]}")
        with CaptureQueriesContext(connection) as seen:
            following.announce_changes()
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_vendors_names_cannot_write_headers(rings: Any) -> None:
    follower()
    issued("Harbour\r\nBcc: victim@example.org")
    everything_told()
    assert subjects() == ["Certified: Harbour Bcc: victim@example.org 1.0"]
    assert mail.outbox[0].recipients() == ["ada@example.org"]


def test_what_was_told_long_ago_is_forgotten(rings: Any) -> None:
    follower()
    issued()
    everything_told()
    following.forget(now=NOW + 31 * DAY)
    assert not Delivery.objects.exists()
    assert not Announcement.objects.exists()
    everything_told(NOW + 31 * DAY)
    assert len(mail.outbox) == 1


# --- Webhooks --------------------------------------------------------------------------------------------


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that may be called, although it sits on loopback."""
    with receiving() as found:
        allowed = frozenset({("127.0.0.1", found.port), ("::1", found.port)})
        context = ssl.create_default_context(cadata=found.ca)
        monkeypatch.setattr(following_webhooks, "network_policy", lambda: NetworkPolicy(allowed=allowed))
        monkeypatch.setattr(following_webhooks, "tls_context", lambda: context)
        yield found


def hooked(receiver: Receiver, query: str = "") -> tuple[Subscription, str]:
    """A confirmed webhook and its secret."""
    subscription, secret = following.sign_up_by_webhook(
        url=receiver.url, query=query, kinds=[], language="en"
    )
    assert following.send_link(subscription_id=subscription.pk)
    subscription.refresh_from_db()
    return subscription, secret


def test_receiver_that_echoes_the_challenge_is_told_signed_changes(receiver: Receiver, rings: Any) -> None:
    subscription, secret = hooked(receiver)
    assert subscription.status == Status.ACTIVE
    number = issued().number
    everything_told()
    assert receiver.told() == [f"certificate.issued {number}"]
    assert all(request.is_signed_with(secret) for request in receiver.requests)
    last = receiver.requests[-1]
    assert last.path == "/hooks?from=registry"
    assert last.headers["host"] == f"localhost:{receiver.port}"
    assert last.said["data"]["url"] == f"http://127.0.0.1:8000/certified/{number}/"
    assert secret not in subscription.secret


@pytest.mark.parametrize("form", ["text", "json"])
def test_challenge_may_be_sent_back_as_text_or_json(receiver: Receiver, rings: Any, form: str) -> None:
    def answer(request: Request) -> tuple[int, bytes, dict[str, str]]:
        challenge = request.said["challenge"]
        return 200, (challenge if form == "text" else f'{{"challenge": "{challenge}"}}').encode(), {}

    receiver.answer = answer
    assert hooked(receiver)[0].status == Status.ACTIVE


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"", {}),
        (200, b"something else", {}),
        (200, b'{"challenge": 1}', {}),
        (200, b"{", {}),
        (500, b"", {}),
        (302, b"", {"Location": "https://localhost/elsewhere"}),
    ],
)
def test_receiver_that_does_not_echo_is_told_nothing(receiver: Receiver, rings: Any, answer: Any) -> None:
    receiver.answer = lambda _request: answer
    subscription, _secret = following.sign_up_by_webhook(url=receiver.url, query="", kinds=[], language="en")
    assert not following.send_link(subscription_id=subscription.pk)
    issued()
    everything_told()
    subscription.refresh_from_db()
    assert subscription.status == Status.PENDING
    assert subscription.last_error
    assert len(receiver.requests) == 1  # a redirect is not followed either


def test_receiver_that_fails_is_tried_again_in_order_and_then_switched_off(
    client: Client, receiver: Receiver, rings: Any
) -> None:
    subscription, _secret = hooked(receiver)
    first, second = issued().number, issued("Fjord").number
    receiver.answer = lambda _request: (503, b"", {})
    now = NOW
    everything_told(now)
    page = f"/follow/manage/{following.link_token(subscription, 'manage')}/"
    assert "answered 503" in client.get(page).content.decode()
    for pause in following.PAUSES:
        with clock(now + pause - timedelta(seconds=1)):
            assert following.deliver(subscription_id=subscription.pk) == 0
        now += pause
        everything_told(now)
    subscription.refresh_from_db()
    assert subscription.status == Status.DISABLED
    tried = [request.said["data"]["number"] for request in receiver.requests if "data" in request.said]
    assert tried == [first] * following.FAILURES_AT_MOST
    ids = {request.headers["webhook-id"] for request in receiver.requests if "data" in request.said}
    assert len(ids) == 1
    assert "Switched off" in client.get(page).content.decode()

    receiver.answer = lambda _request: (204, b"", {})
    client.post(page, {"action": "again"})
    everything_told(now)
    assert receiver.told()[-2:] == [f"certificate.issued {first}", f"certificate.issued {second}"]
    log = client.get(page).content.decode()
    assert log.count("Told at") == 2


def test_receiver_that_is_gone_for_good_is_switched_off_at_once(receiver: Receiver, rings: Any) -> None:
    subscription, _secret = hooked(receiver)
    receiver.answer = lambda _request: (410, b"", {})
    issued()
    everything_told()
    subscription.refresh_from_db()
    assert subscription.status == Status.DISABLED


def test_slow_receiver_is_cut_off(receiver: Receiver, rings: Any, settings: Any) -> None:
    settings.FOLLOW_WEBHOOK_SECONDS = 1
    held = threading.Event()

    def answer(_request: Request) -> tuple[int, bytes, dict[str, str]]:
        held.wait(5)
        return 200, b"", {}

    receiver.answer = answer
    found = following_webhooks.post(
        receiver.url, id_="x", timestamp=1, body=b"{}", secret=following_webhooks.new_secret()
    )
    held.set()
    assert found.error == "no answer in time"


def test_huge_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.answer = lambda _request: (200, b"x" * 5_000_000, {})
    found = following_webhooks.post(
        receiver.url, id_="x", timestamp=1, body=b"{}", secret=following_webhooks.new_secret()
    )
    assert (found.error, len(found.body)) == ("", following_webhooks.LARGEST_ANSWER)


def test_receiver_with_a_certificate_of_another_is_not_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_webhooks, "tls_context", ssl.create_default_context)
    found = following_webhooks.post(
        receiver.url, id_="x", timestamp=1, body=b"{}", secret=following_webhooks.new_secret()
    )
    assert found.error.startswith("TLS: ")
    assert receiver.requests == []


def test_proxy_of_the_environment_is_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = following_webhooks.post(
        receiver.url, id_="x", timestamp=1, body=b"{}", secret=following_webhooks.new_secret()
    )
    assert found.is_taken


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://127.0.0.1/x", "127.0.0.1 is this machine itself."),
        ("https://localhost/x", "is this machine itself."),
        ("https://[::1]/x", "is this machine itself."),
        ("https://169.254.169.254/latest", "metadata service"),
        ("https://10.0.0.7/", "private range"),
        ("https://[fd00::1]/", "private range"),
        ("https://2130706433/", "Enter a valid URL"),
        ("http://192.0.2.1/", "must begin with https"),
        ("https://ada:secret@192.0.2.1/", "no name and no password"),
        ("ftp://example.org/", "must begin with https"),
    ],
)
def test_address_that_must_not_be_called_is_refused_at_sign_up(
    client: Client, rings: Any, url: str, said: str
) -> None:
    page = client.post("/follow/webhook/", {"url": url, "kinds": ["issued"]})
    assert page.status_code == 422
    assert said in page.content.decode()
    assert not Subscription.objects.exists()


def test_name_that_moves_to_loopback_later_is_refused_when_it_is_called(rings: Any) -> None:
    subscription, _secret = following.sign_up_by_webhook(
        url="https://localhost/", query="", kinds=[], language="en"
    )
    assert not following.send_link(subscription_id=subscription.pk)
    subscription.refresh_from_db()
    assert subscription.last_error == "refused: loopback"


def test_secret_is_shown_once(client: Client, receiver: Receiver, rings: Any) -> None:
    page = client.post("/follow/webhook/", {"url": receiver.url, "kinds": ["issued", "revoked"]})
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    [secret] = set(re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", page.content.decode()))
    subscription = Subscription.objects.get()
    assert following_webhooks.opened(subscription.secret) == secret
    manage = client.get(f"/follow/manage/{following.link_token(subscription, 'manage')}/")
    assert secret not in manage.content.decode()


def test_secrets_are_encrypted_anew_with_the_first_key(rings: Any, settings: Any) -> None:
    from cryptography.fernet import Fernet

    subscription, secret = following.sign_up_by_webhook(
        url="https://receiver.example/", query="", kinds=[], language="en"
    )
    new = Fernet.generate_key()
    settings.FIELD_KEYS = [new, *settings.FIELD_KEYS]
    assert following.encrypt_secrets_anew() == 1
    settings.FIELD_KEYS = [new]
    subscription.refresh_from_db()
    assert following_webhooks.opened(subscription.secret) == secret


def test_document_for_receivers_says_what_is_sent(receiver: Receiver, rings: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "following.md").read_text()
    [example], [code] = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("json", "python"))
    _subscription, secret = hooked(receiver)
    services.suspend_certificate(certificate=issued(), reason="Gone.", on=TODAY)
    everything_told()
    last, documented = receiver.requests[-1], json.loads(example)
    assert last.said["type"] == documented["type"]
    assert {key: type(value) for key, value in last.said["data"].items()} == {
        key: type(value) for key, value in documented["data"].items()
    }
    # The document's own code takes what is sent, and refuses what was changed or is old.
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own document
    is_genuine = names["is_genuine"]
    names["time"] = SimpleNamespace(time=lambda: NOW.timestamp() + 200)
    assert is_genuine(secret, last.headers, last.body)
    assert not is_genuine(secret, last.headers, last.body + b" ")
    names["time"] = SimpleNamespace(time=lambda: NOW.timestamp() + 301)
    assert not is_genuine(secret, last.headers, last.body)


# --- Feeds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"Harbour", "Fjord"}),
        ("kubernetes_version=1.36", {"Fjord"}),
        ("kubernetes_version=v1.36.1&vendor=northern", {"Fjord"}),
        ("kubernetes_version=1.36&vendor=old-harbour", set()),
        ("search=fjord", {"Fjord"}),
        ("configuration=air-gapped&kind=issued", {"Fjord"}),
        ("configuration=air-gapped&kind=revoked", set()),
        ("assurance=nonsense", set()),
        ("platform=harbour&vendor=old-harbour", {"Harbour"}),
    ],
)
def test_every_filter_has_its_feeds(client: Client, query: str, expected: set[str]) -> None:
    issued()
    issued("Fjord", vendor="Northern", kubernetes_version="1.36", configuration="air-gapped")
    issued("Secret", vendor="Northern", kubernetes_version="1.36", on=TODAY + DAY)
    items = client.get(f"/changes/feed.json?{query}").json()["items"]
    assert {item["title"].split()[1] for item in items} == expected
    atom = client.get(f"/changes/feed.atom?{query}").content.decode()
    assert set(re.findall(r"<title>Certified: (\w+) ", atom)) == expected


def test_change_log_of_the_api_takes_the_filters_of_the_list(client: Client) -> None:
    issued()
    number = issued("Fjord", vendor="Northern", kubernetes_version="1.36").number
    found = client.get("/api/v1/changes/?kubernetes_version=v1.36&requirement=gang_scheduling").json()
    assert [row["number"] for row in found["results"]] == [number]
    refused = client.get("/api/v1/changes/?requirement=nonsense&kubernetes_version=new")
    assert refused.status_code == 400
    assert {error["path"] for error in refused.json()["errors"]} == {"requirement", "kubernetes_version"}
    document = client.get("/api/v1/schema/?format=json").json()
    names = {entry["name"] for entry in document["paths"]["/api/v1/changes/"]["get"]["parameters"]}
    assert {"search", "kubernetes_version", "assurance", "requirement", "configuration", "workload"} <= names


@pytest.mark.parametrize("path", ["/certified/", "/", "/vendors/old-harbour/", "/changes/"])
def test_pages_lead_to_following(client: Client, path: str) -> None:
    issued()
    page = client.get(path).content.decode()
    [link] = set(re.findall(r'href="(/follow/[^"]*)"', page))
    assert client.get(link.replace("&amp;", "&")).status_code == 200


def test_follow_page_keeps_the_filter_of_the_list(client: Client) -> None:
    issued()
    page = client.get("/certified/?vendor=old-harbour&kubernetes_version=1.35&status=active&view=cards")
    [link] = set(re.findall(r'href="(/follow/[^"]*)"', page.content.decode()))
    found = client.get(link.replace("&amp;", "&"))
    assert '<input type="hidden" name="vendor" value="old-harbour">' in found.content.decode()
    assert '<input type="hidden" name="kubernetes_version" value="1.35">' in found.content.decode()
    assert "http://127.0.0.1:8000/changes/feed.atom?vendor=old-harbour&amp;kubernetes_version=1.35" in (
        found.content.decode()
    )


def test_follow_page_of_a_filter_that_makes_no_sense(client: Client) -> None:
    page = client.get("/follow/?kubernetes_version=new")
    assert page.status_code == 400
    assert "This is no Kubernetes version" in page.content.decode()


def test_date_is_that_of_the_change(rings: Any) -> None:
    follower()
    certificate = issued()
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=date(2026, 6, 1))
    everything_told()
    assert "1 June 2026 (UTC)" in mail.outbox[0].body


def test_mails_and_their_links_are_in_the_language_of_the_sign_up(client: Client, rings: Any) -> None:
    client.post("/ja/follow/mail/", {"email": "ada@example.org", "kinds": ["issued"]})
    subscription = Subscription.objects.get()
    following.send_link(subscription_id=subscription.pk)
    following.confirm(subscription=subscription)
    number = issued().number
    everything_told()
    asked, told = mail.outbox
    assert re.search(r"http://127.0.0.1:8000/ja/follow/confirm/\S+", asked.body)
    assert subjects()[1] == "認定済み: Harbour 1.0"
    assert "2026年6月1日" in told.body
    assert f"http://127.0.0.1:8000/ja/certified/{number}/" in told.body
    stop = told.extra_headers["List-Unsubscribe"].strip("<>").removeprefix("http://127.0.0.1:8000")
    assert client.post(stop).status_code == 200
    assert not Subscription.objects.exists()
