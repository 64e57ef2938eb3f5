"""What ``drive-fusion review`` does: make and end accounts, or serve the room."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from feedback.accounts import Accounts
from feedback.database import database_of
from feedback.server.config import LOOPBACK, ReviewConfig
from feedback.store import Store
from sensors.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from feedback.server.ride_desk import RideOffer

MAX_CONNECTIONS = 256


def serve(config: ReviewConfig, offer: RideOffer | None = None) -> int:
    """Run ``drive-fusion review`` until it is interrupted.

    Args:
        config: The options.
        offer: What people can ride along with: whoever knows policies hands it in.

    Returns:
        The exit status.

    Raises:
        ConfigError: If the folder is no study, nobody could log in from elsewhere, or the address cannot be had.
        StoreError: If the database cannot be used.
    """
    if database_of(config.study) is None:
        wanted = config.study / "feedback.db"
        raise ConfigError(
            f"no study at {str(config.study)!r}: {wanted} does not exist; make one with drive-fusion demo --study {config.study}"
        )
    with Store.of_study(config.study) as store:
        accounts = Accounts(store, config.idle_timeout_min * 60, config.absolute_timeout_h * 3600)
        if config.invite is not None:
            _invite(config, store, accounts)
        elif config.set_role is not None:
            print(f"{config.set_role} ({accounts.set_role(config.set_role, config.role).pseudonym}) is {config.role} from now on")
        elif config.add_reviewer is not None:
            reviewer, token = accounts.add_person(config.add_reviewer, config.role)
            _print_token(f"{config.add_reviewer} is {reviewer.pseudonym} in labels and exports", token, config.study)
        elif config.renew_token is not None:
            _print_token(f"{config.renew_token}: the old token no longer works", accounts.renew_token(config.renew_token), config.study)
        elif config.erase_reviewer is not None:
            print(f"forgotten; the labels stay, as {accounts.erase(config.erase_reviewer)}'s")
        else:
            _serve_room(config, store, accounts, offer)
    return 0


def _invite(config: ReviewConfig, store: Store, accounts: Accounts) -> None:
    from feedback.practice import choose_practice

    reviewer, secret = accounts.invite(config.invite or "", config.role, config.invitation_h * 3600)
    practice = choose_practice(store)
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = (config.public_url or f"{config.scheme}://{host}:{config.port}").rstrip("/")
    print(f"{config.invite} is {reviewer.pseudonym} in labels and exports, {config.role} here; the study has {practice} practice pairs")
    print(f"invitation, works once, within {config.invitation_h:g} h: {url}/invite/{secret}")
    print(f"it is answered by: drive-fusion review {config.study}")


def _print_token(news: str, token: str, study: Path) -> None:
    print(f"{news}\ntoken, shown this once: {token}\nit is typed at the log in of: drive-fusion review {study}")


def _serve_room(config: ReviewConfig, store: Store, accounts: Accounts, offer: RideOffer | None) -> None:
    import uvicorn

    from feedback.server.app import create_app

    if config.host not in LOOPBACK and not accounts.any_person():
        raise ConfigError(f"--host {config.host}: nobody has an account yet; first: drive-fusion review {config.study} --add-reviewer NAME")
    listener = _listen(config.host, config.port)
    port = listener.getsockname()[1]
    local_url = f"{config.scheme}://{f'[{config.host}]' if ':' in config.host else config.host}:{port}"
    url = (config.public_url or local_url).rstrip("/")
    _say_hello(config, url, accounts)
    app = create_app(store, accounts, url, offer, config.max_rides)
    if app.state.rides is not None:
        app.state.rides.warm()
    with listener:
        uvicorn.Server(options_of(app, config)).run(sockets=[listener])


def options_of(app: FastAPI, config: ReviewConfig) -> uvicorn.Config:
    """How the room is served."""
    import uvicorn

    from feedback.server.patience import PatientProtocol

    return uvicorn.Config(
        app,
        http=PatientProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody could write them; the rate limit counts connections' own addresses
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=3,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with ExitStack() as on_failure:
            listener = on_failure.enter_context(socket.socket(family, kind, protocol))  # asyncio sets TCP_NODELAY only where it reads TCP
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)  # from here on, who follows the printed URL is kept waiting, not turned away
            on_failure.pop_all()
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}; choose another with --port, or --port 0") from error
    return listener


def _say_hello(config: ReviewConfig, url: str, accounts: Accounts) -> None:
    print(f"review room: {url}", flush=True)
    nobody = "" if accounts.any_person() else "nobody can log in yet; "
    print(f"{nobody}let somebody in: drive-fusion review {config.study} --invite NAME", flush=True)
    if config.ride is not None:
        print(f"ride-alongs: {config.ride} in {config.id}, at most {config.max_rides} at a time", flush=True)
    if url.startswith("http://") and config.host not in LOOPBACK:
        print("warning: without https, tokens and answers cross the network readable", file=sys.stderr, flush=True)
    print("stop with Ctrl-C; nothing is lost", flush=True)
