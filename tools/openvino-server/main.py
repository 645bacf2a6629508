"""
Serves models with OpenVINO GenAI behind the OpenAI protocol. README.md says what it can do.

    python main.py --model demo=path/to/folder --port 0

Once it listens it writes one line of JSON to standard output, `{"listening": 12345}`. What it logs goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from openvino_server.parent import die_with_parent

PYTHON_LEAST = (3, 10)
NEEDS = Path(__file__).resolve().parent / "requirements.txt"
# In the environment and not among the arguments, which every user of a machine can read.
KEY_VARIABLE = "OPENVINO_SERVER_KEY"
# What the worker tells apart: nothing will be better by starting again.
EXIT_CANNOT_START = 3

log = logging.getLogger("openvino-server")


def main() -> None:
    options = parse_arguments()
    if options.stop_with_stdin:
        die_with_parent()
    logging.basicConfig(stream=sys.stderr, level=options.log_level.upper(), format="%(levelname)s %(message)s")
    # Its own line for every request says nothing that the worker doesn't say.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    check_packages()
    code = asyncio.run(serve(options))
    # Threads of OpenVINO's may still compute; nobody waits for what they find.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="OpenVINO GenAI behind the OpenAI protocol.")
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="ID=PATH",
        help="a model: a folder with openvino_model.xml, or a GGUF file of Llama's or Qwen's kind; may be repeated",
    )
    parser.add_argument("--load", action="append", default=[], metavar="ID", help="load it at the start, not on first use")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="(default: %(default)s); whoever reaches it must bring the key of OPENVINO_SERVER_KEY, if that is set",
    )
    parser.add_argument("--port", type=whole(0, 65_535), default=8030, help="0: any free one (default: %(default)s)")
    parser.add_argument("--device", default="CPU", help="where OpenVINO computes: CPU, GPU, … (default: %(default)s)")
    parser.add_argument(
        "--context", type=whole(16, 10_485_760), help="tokens that a sequence may hold (default: what config.json says)"
    )
    parser.add_argument("--sequences", type=whole(1, 1_024), default=32, help="answers that run at a time (default: %(default)s)")
    parser.add_argument(
        "--queue", type=whole(0, 100_000), default=64, help="answers that wait; more are refused (default: %(default)s)"
    )
    parser.add_argument(
        "--cache-tokens",
        type=whole(16, 2**31),
        help="tokens that all sequences of a model may hold together (default: sequences × context, or what memory holds)",
    )
    parser.add_argument("--threads", type=whole(1, 4_096), help="threads that compute (default: OpenVINO's choice)")
    parser.add_argument(
        "--drain-seconds", type=whole(0, 3_600), default=10, help="for running answers, on SIGTERM (default: %(default)s)"
    )
    parser.add_argument("--stop-with-stdin", action="store_true", help="stop when standard input ends: the parent is gone")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    options = parser.parse_args()
    options.models = dict(model_argument(parser, text) for text in options.model)
    if len(options.models) < len(options.model):
        parser.error("two models have the same id")
    for name in options.load:
        if name not in options.models:
            parser.error(f'--load "{name}": there is no such model')
    return options


def whole(least: int, most: int) -> Callable[[str], int]:
    """A type for argparse: a whole number in a range."""

    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    parse.__name__ = "whole number"
    return parse


def model_argument(parser: argparse.ArgumentParser, text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        parser.error(f'--model "{text}": must be ID=PATH')
    return name, Path(path)


def check_packages() -> None:
    """Ends with one sentence when something is missing that everything below needs."""
    if sys.version_info < PYTHON_LEAST:
        cannot_start(f"Python {sys.version.split()[0]} is too old: {'.'.join(map(str, PYTHON_LEAST))} or newer is needed.")
    try:
        import aiohttp  # noqa: F401
        import openvino_genai  # noqa: F401
    except ImportError as error:
        # A system's own Python mostly refuses to have anything installed into it.
        is_systems = sys.prefix == sys.base_prefix
        prepare = f"{sys.executable} -m venv .venv && .venv/bin/python" if is_systems else sys.executable
        use = ", and use .venv/bin/python" if is_systems else ""
        cannot_start(f"{error}: run `{prepare} -m pip install -r {NEEDS}`{use}.")


def cannot_start(sentence: str) -> None:
    log.error("%s", sentence)
    raise SystemExit(EXIT_CANNOT_START)


async def serve(options: argparse.Namespace) -> int:
    # Imported here, behind the check that what they need is there.
    from aiohttp import web

    from openvino_server.http_api import HttpApi
    from openvino_server.model import Model, ModelOptions

    models = {
        name: Model(
            ModelOptions(
                id=name,
                path=path,
                device=options.device,
                context=options.context,
                sequences_max=options.sequences,
                queue_max=options.queue,
                cache_tokens=options.cache_tokens,
                threads=options.threads,
            )
        )
        for name, path in options.models.items()
    }
    stopped = stop_requested(options.stop_with_stdin)
    # Without cancellation of handlers, an answer would go on after its client has left.
    runner = web.AppRunner(
        HttpApi(models, options.load, os.environ.pop(KEY_VARIABLE, None)).application(),
        handler_cancellation=True,
        shutdown_timeout=options.drain_seconds,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port, backlog=1_024).start()
    except OSError as error:
        cannot_start(f"Port {options.port} of {options.host} can't be had: {error.strerror}.")
    print(json.dumps({"listening": runner.addresses[0][1]}), flush=True)
    loading = asyncio.create_task(load_first([models[name] for name in options.load]))
    await stopped
    log.info("Stopping: running answers have %d s.", options.drain_seconds)
    loading.cancel()
    await runner.cleanup()
    for model in models.values():
        await model.close()
    return 0


async def load_first(models: list) -> None:  # type: ignore[type-arg]
    """One after another: two at once would both be late. What fails is told by /health."""
    from openvino_server.failures import RequestFailure

    for model in models:
        try:
            await model.load()
        except RequestFailure as failure:
            log.error("%s", failure.message)


def stop_requested(with_stdin: bool) -> asyncio.Future[None]:
    """Resolves on SIGTERM, on SIGINT, and when whoever started this is gone."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    loop.add_signal_handler(signal.SIGTERM, stop)
    # A terminal sends Ctrl-C to every process of its group; when to stop is then the parent's to say.
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if with_stdin else stop)
    if with_stdin:
        threading.Thread(target=wait_for_end_of_input, args=(loop, stop), daemon=True).start()
    return stopped


def wait_for_end_of_input(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """The pipe ends with the parent, even when it was killed."""
    while os.read(0, 4_096):
        pass
    loop.call_soon_threadsafe(stop)


if __name__ == "__main__":
    main()
