"""The FTP service over REST: the section by its menu's name, its test, and "send now" with its progress."""

from ccm_contracts.channels import LINK_STATE
from ccm_contracts.config.services import Ftp
from ccm_contracts.messages import Command
from ccm_contracts.state import FtpOutbox, LinkState
from ccm_contracts.verb_table import FTP_SEND, FTP_TEST
from ccm_contracts.verbs.uplink import FtpSend, FtpSendStarted, LinkTest, LinkTestReport, LinkTestStep
from ccm_kit.bus import Answer
from tests.integration.api.gateway import Gateway, bus_of
from tests.support.nats import NatsServer
from tests.support.wait import until


async def test_ftp_section_is_changed_by_its_menu_name_and_hides_its_password(gw: Gateway) -> None:
    headers = await gw.sign_in()
    got = await gw.http.get("/services/ftp", headers=headers)
    changed = {**got.json(), "server": "ftp.example", "password": "hush-hush", "tls": "explicit"}
    put = await gw.http.put(
        "/services/ftp", headers=headers | {"If-Match": got.headers["etag"]}, json=changed
    )
    assert put.status_code == 200, put.text
    assert put.json()["password"] == "********"
    assert (await gw.got("/config/ftp", headers))["server"] == "ftp.example"


async def test_settings_are_tried_by_uplink(gw: Gateway, nats: NatsServer) -> None:
    seen: list[LinkTest] = []

    async def tried(args: LinkTest, _: Command[LinkTest]) -> LinkTestReport:
        seen.append(args)
        step = LinkTestStep(step="tcp", outcome="failed", text="nobody listens", hint="check the port")
        return LinkTestReport(ok=False, steps=[step])

    headers = await gw.sign_in()
    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(FTP_TEST, tried))
        body = {"server": "ftp.example", "password": "hush-hush"}
        answer = await gw.http.post("/services/ftp/test", headers=headers, json=body)
        wrong = await gw.http.post("/services/ftp/test", headers=headers, json={"directory": "a\r\nDELE b"})
    assert answer.json()["steps"][0]["hint"] == "check the port"
    assert seen[0].settings["password"].startswith("enc:v1:")
    found = Ftp.model_validate(seen[0].settings, context={"unseal": gw.box.unseal})
    assert found.password.reveal() == "hush-hush"
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "ftp.directory"


async def test_send_now_starts_and_the_status_shows_how_far_it_is(gw: Gateway, nats: NatsServer) -> None:
    async def send(_: FtpSend, command: Command[FtpSend]) -> FtpSendStarted:
        assert command.issued_by == "api:admin"
        return FtpSendStarted(files=3, bytes=9000, sent_files_at_end=7)

    headers = await gw.sign_in()
    assert (await gw.http.get("/services/ftp/status", headers=headers)).status_code == 404
    async with bus_of(nats, "uplink") as bus:
        await bus.serve(Answer(FTP_SEND, send))
        answer = await gw.http.post("/services/ftp/send", headers=headers)
        assert (answer.status_code, answer.json()) == (
            202, {"files": 3, "bytes": 9000, "sent_files_at_end": 7},
        )  # fmt: skip
        outbox = FtpOutbox(files=2, bytes=6000, sending="a.csv", sent_bytes=1024, total_bytes=3000)
        state = LinkState(link="ftp", enabled=True, connected=True, since=bus.clock.now(), ftp=outbox)
        bus.state(LINK_STATE, state, id="ftp")
        shown = await until(lambda: _status(gw, headers), deadline_s=10, what="the status")
    assert shown
    assert shown["ftp"]["sending"] == "a.csv"
    assert (shown["ftp"]["sent_bytes"], shown["ftp"]["total_bytes"]) == (1024, 3000)


async def _status(gw: Gateway, headers: dict[str, str]) -> dict[str, dict[str, object]] | None:
    answer = await gw.http.get("/services/ftp/status", headers=headers)
    return answer.json() if answer.status_code == 200 else None
