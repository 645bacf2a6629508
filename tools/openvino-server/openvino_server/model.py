"""One model, and the thread that computes its answers, up to `sequences_max` of them in every step."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import queue
import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
import openvino_genai as genai

from .answer_reader import THINK_BEGIN, THINK_END, AnswerReader, JsonAnswer, Reading
from .answer_requests import AnswerRequest, ChatPrompt, OutputFormat, Sampling
from .cache_size import affordable_tokens
from .failures import RequestFailure, internal, invalid
from .grammar_probe import GRAMMARS_MAX, GrammarProbe, Specification, structured_output, told_by
from .token_text import TokenText
from .tool_format import CallGrammar, ToolFormat, call_grammar, format_of_template

log = logging.getLogger("openvino-server")

# Tokens in a block of the cache. The CPU plugin has blocks of 32, the GPU's are of 16: counted in the smaller where it matters.
BLOCK_TOKENS = {"CPU": 32}
BLOCK_TOKENS_ELSEWHERE = 16
CONTEXT_UNKNOWN = 4_096
# GenAI holds Python's lock for the length of a step. Between two steps the event loop is let go round so often: to
# accept a connection, read it, parse it and begin its answer.
TURNS_BETWEEN_STEPS = 4
TURNS_SECONDS_MAX = 0.02

# One model at a time: two at once would both be late.
LOADING = threading.Lock()
# Rendering and tokenising, beside the event loop. One thread, since they hold Python's lock: more would gain nothing.
PREPARING = ThreadPoolExecutor(1, thread_name_prefix="prepare")

State = Literal["idle", "loading", "ready", "failed"]


@dataclass(frozen=True)
class ModelOptions:
    """What the command line says of a model."""

    id: str
    path: Path
    device: str
    # Tokens that a sequence may hold; None: what its config.json says.
    context: int | None
    sequences_max: int
    queue_max: int
    # Tokens that all sequences may hold together; None: as many as all of them can.
    cache_tokens: int | None
    threads: int | None


@dataclass(frozen=True)
class Begun:
    prompt_tokens: int


@dataclass(frozen=True)
class Finished:
    reason: Literal["stop", "length", "tool_calls"]
    prompt_tokens: int
    completion_tokens: int


AnswerEvent = Begun | Reading | Finished


@dataclass(eq=False)
class Answer:
    """One answer in the making. The event loop has `events`; everything else is the thread's."""

    prompt: list[int]
    config: genai.GenerationConfig
    reader: AnswerReader
    # Whether control tokens become text: the marks of calls and thoughts may be such.
    spell_controls: bool
    # What the answer must be, and what is at fault when no grammar can be made of it.
    grammar: Specification | None
    param: str
    json: JsonAnswer | None
    # Tokens of the answer at most: what it holds is bounded by the context.
    events: asyncio.Queue[AnswerEvent | RequestFailure] = field(default_factory=asyncio.Queue)
    text: TokenText = field(default_factory=TokenText)
    handle: genai.GenerationHandle | None = None
    generated: int = 0
    cancelled: bool = False


class Model:
    """
    Ownership: the thread owns the pipeline, the probe and all answers that were handed to it.

    Concurrency: the event loop and the thread share the queue of orders and `Answer.events`, which are only touched in the event
    loop. GenAI's pipeline is called by the thread alone.
    """

    def __init__(self, options: ModelOptions) -> None:
        self.options = options
        self.state: State = "idle"
        # Where loading stands, or why it failed; empty when all is well.
        self.detail = ""
        self.context = 0
        self._open_answers = 0
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[Answer] = deque()
        self._running: list[Answer] = []
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loaded: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._requests = 0
        # Of what the pipeline has made grammars, and keeps them.
        self._grammars: set[bytes] = set()
        self._probe = GrammarProbe(options.path)
        self._probing = ThreadPoolExecutor(1, thread_name_prefix="probe")

    # ------------------------------------------------------------------------------------------------ the event loop

    @property
    def id(self) -> str:
        return self.options.id

    @property
    def open_answers(self) -> int:
        """Waiting and running."""
        return self._open_answers

    async def load(self) -> None:
        """Resolves when it is loaded. Raises RequestFailure when it can't be; it is tried again with the next request."""
        if self.state in ("idle", "failed"):
            self._begin_loading()
        assert self._loaded is not None
        # One that leaves while it waits takes the loading from nobody else.
        await asyncio.shield(self._loaded)

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        """An answer, event by event. Closing the iterator frees its place before the next step."""
        self._check_room()
        self._open_answers += 1
        answer: Answer | None = None
        try:
            await self.load()
            # A long prompt takes a while.
            answer = await asyncio.get_running_loop().run_in_executor(PREPARING, self._prepare, request)
            await self._try_grammar(answer)
            # Between this and the order nothing is waited for: a thread that is over takes none.
            if self.state != "ready":
                raise RequestFailure(503, "model_not_ready", f"The model {self.id} has to be loaded anew.", retry_after_seconds=1)
            self._orders.put(lambda: self._waiting.append(answer))
            while True:
                event = await answer.events.get()
                if isinstance(event, RequestFailure):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            self._open_answers -= 1
            if answer is not None:
                self._orders.put(lambda: self._cancel(answer))

    async def close(self) -> None:
        """Fails what there is, and waits for the thread."""
        self._probing.shutdown(wait=False, cancel_futures=True)
        self._probe.close()
        if self._thread is None:
            return
        self._orders.put(self._stop)
        await asyncio.to_thread(self._thread.join, 10)

    async def _try_grammar(self, answer: Answer) -> None:
        """Raises RequestFailure when no grammar can be made. Those that the model has made already are not tried again."""
        if answer.grammar is None or _key_of(answer.grammar) in self._grammars:
            return
        loop = asyncio.get_running_loop()
        complaint = await loop.run_in_executor(self._probing, self._probe.complaint_about, answer.grammar)
        if complaint is not None:
            raise invalid(f"No grammar can be made of it: {complaint}", answer.param)

    def _check_room(self) -> None:
        room = self.options.sequences_max + self.options.queue_max
        if self._open_answers >= room:
            raise RequestFailure(
                429,
                "rate_limit_exceeded",
                f"{self.options.sequences_max} answers are running and {self.options.queue_max} wait. Retry shortly.",
                retry_after_seconds=1,
            )

    def _begin_loading(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loaded = self._loop.create_future()
        # Otherwise one that nobody waits for is complained about.
        self._loaded.add_done_callback(lambda loaded: loaded.exception())
        self.state, self.detail = "loading", f"The model {self.id} is being loaded."
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"model {self.id}", daemon=True)
        self._thread.start()

    def _prepare(self, request: AnswerRequest) -> Answer:
        """The request as the thread wants it. Raises RequestFailure."""
        rendered = self._render(request)
        tokens = rendered.tokens
        room = self.context - len(tokens)
        if room < 1:
            raise RequestFailure(
                400,
                "context_length_exceeded",
                f"The prompt has {len(tokens):,} tokens; this model accepts {self.context - 1:,} and an answer of at "
                "least one. Shorten it, or choose a model with a longer context.",
                param="messages" if isinstance(request.prompt, ChatPrompt) else "prompt",
            )
        specification = _specification(request.format, rendered.grammar)
        config = self._generation_config(request.sampling)
        config.max_new_tokens = min(request.max_tokens or room, room)
        if specification is not None:
            config.structured_output_config = structured_output(specification)
        try:
            config.validate()
        except Exception as error:
            raise invalid(f"OpenVINO refuses the sampling: {told_by(error)}", "temperature") from error
        return Answer(
            prompt=tokens,
            config=config,
            reader=AnswerReader(thinks=rendered.thinks, thinking=rendered.thinking, tools=rendered.tools, stop=request.stop),
            spell_controls=rendered.tools is not None or rendered.thinks,
            grammar=specification,
            param="tools" if rendered.grammar or not request.format else request.format.param,
            json=JsonAnswer() if specification is not None and specification["kind"] == "json_schema" else None,
        )

    def _render(self, request: AnswerRequest) -> _Rendered:
        prompt = request.prompt
        if isinstance(prompt, list):
            unknown = next((token for token in prompt if token >= self._vocabulary), None)
            if unknown is not None:
                raise invalid(f"`prompt` has the token {unknown}; this model's are below {self._vocabulary:,}.", "prompt")
            return _Rendered(prompt)
        if isinstance(prompt, str):
            return _Rendered(self._tokens(prompt, special=True))
        tools = prompt.tools if prompt.tool_choice.mode != "none" else []
        form = self._tool_format(tools)
        try:
            text = str(
                self._tokenizer.apply_chat_template(
                    prompt.messages, True, tools=tools or None, extra_context=prompt.template_variables or None
                )
            )
        except Exception as error:
            raise invalid(f"The model's chat template refuses the messages: {told_by(error)}", "messages") from error
        thinking = text.rstrip().endswith(THINK_BEGIN)
        if prompt.begun:
            # What was said already was said behind the thoughts.
            text += f"\n{THINK_END}\n\n{prompt.begun}" if thinking else prompt.begun
            thinking = False
        grammar = call_grammar(form, tools, prompt.tool_choice, prompt.parallel_calls) if form else None
        if grammar is not None and request.format is not None and not grammar.must_call:
            raise invalid("`response_format` and `tools` can't be had together; leave one out.", "response_format")
        return _Rendered(
            tokens=self._tokens(text, special=False),
            tools=form,
            grammar=grammar,
            thinks=THINK_BEGIN in self._template and not prompt.begun,
            thinking=thinking,
        )

    def _tool_format(self, tools: list[dict[str, Any]]) -> ToolFormat | None:
        if not tools:
            return None
        form = format_of_template(self._template)
        if form is None:
            raise RequestFailure(
                400,
                "tools_not_supported",
                "The model's chat template teaches none of the formats of tool calls that are known here "
                "(Hermes and Qwen, Llama 3). Leave `tools` out, or choose another model.",
                param="tools",
            )
        return form

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=special).input_ids
        return [int(token) for token in ids.data[0]]

    def _generation_config(self, sampling: Sampling) -> genai.GenerationConfig:
        """The model's own defaults, then OpenAI's, under what was asked for."""
        # A copy would be shared; the folder's file is read once, and what it says is written out here.
        config = genai.GenerationConfig()
        defaults = self._defaults
        config.eos_token_id = defaults.eos_token_id
        config.stop_token_ids = defaults.stop_token_ids
        sampled = defaults.do_sample
        temperature = sampling.temperature
        if temperature is None:
            temperature = defaults.temperature if sampled else 1.0
        config.do_sample = temperature > 0
        if config.do_sample:
            config.temperature = temperature
            config.top_p = _given(sampling.top_p, defaults.top_p if sampled else 1.0)
            config.min_p = _given(sampling.min_p, defaults.min_p if sampled else 0.0)
            top_k = _given(sampling.top_k, defaults.top_k if sampled else 0)
            if top_k > 0:
                config.top_k = int(top_k)
            # GenAI's own default is the same seed for everybody.
            seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
            config.rng_seed = seed % 2**32
        config.presence_penalty = _given(sampling.presence_penalty, defaults.presence_penalty)
        config.frequency_penalty = _given(sampling.frequency_penalty, defaults.frequency_penalty)
        config.repetition_penalty = _given(sampling.repetition_penalty, defaults.repetition_penalty)
        config.ignore_eos = sampling.ignore_eos
        return config

    # ---------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            with LOADING:
                self._open()
        except Exception as error:
            log.error("The model %s can't be loaded: %s", self.id, error)
            self._tell(self._note_failed, told_by(error))
            return
        self._tell(self._note_ready)
        detail = ""
        try:
            while not self._stopping:
                self._turn()
        except Exception as error:
            # From a pipeline that has failed in a step no answer is to be had any more.
            log.exception("A step of %s failed; the model is loaded anew when it is asked for.", self.id)
            detail = f"A step of {self.id} failed: {told_by(error)}"
        self._tell(self._note_ended, detail)

    def _open(self) -> None:
        options = self.options
        path = options.path
        self._tokenizer = genai.Tokenizer(str(path))
        self._template = self._tokenizer.chat_template or self._tokenizer.get_original_chat_template()
        self.context = options.context or _context_of(path)
        self._block_tokens = BLOCK_TOKENS.get(options.device, BLOCK_TOKENS_ELSEWHERE)
        tokens = options.cache_tokens or self._cache_tokens()
        # A sequence may hold as much as the whole cache, and no more.
        self.context = min(self.context, tokens)
        config = genai.SchedulerConfig()
        config.max_num_seqs = options.sequences_max
        # One more for each sequence, whose last block is seldom full.
        self._blocks = math.ceil(tokens / self._block_tokens) + options.sequences_max
        config.num_kv_blocks = self._blocks
        config.enable_prefix_caching = True
        config.dynamic_split_fuse = True
        properties = {} if options.threads is None else {"INFERENCE_NUM_THREADS": options.threads}
        self._pipeline = genai.ContinuousBatchingPipeline(str(path), self._tokenizer, config, options.device, **properties)
        self._defaults = self._pipeline.get_config()
        if self._defaults.eos_token_id < 0:
            self._defaults.set_eos_token_id(self._tokenizer.get_eos_token_id())
        self._vocabulary = max(self._tokenizer.get_vocab().values()) + 1
        self._ends = {self._defaults.eos_token_id, *self._defaults.stop_token_ids}
        self._blocks_taken = 0
        self._grammars.clear()
        # OpenVINO's binding is set up with its first use, and for good blocked when that is from two threads at once.
        self._tokens("warm", special=False)

    def _cache_tokens(self) -> int:
        context, sequences = self.context, self.options.sequences_max
        wanted = context * sequences
        # Elsewhere it is not the machine's memory that holds it.
        if self.options.device != "CPU":
            return wanted
        return affordable_tokens(self.options.path, wanted, context=context, sequences=sequences)

    def _turn(self) -> None:
        """One step, or a wait for something to do."""
        self._take_orders(wait=not (self._running or self._waiting or self._unfinished()))
        if len(self._grammars) < GRAMMARS_MAX:
            self._admit()
        elif not self._running:
            self._renew()
        if self._running or self._unfinished():
            self._pipeline.step()
            self._collect()

    def _renew(self) -> None:
        """The library keeps every grammar for as long as the pipeline lives: one that has made so many is replaced."""
        log.info("%s has made %d grammars, and is loaded anew to be rid of them.", self.id, len(self._grammars))
        self._pipeline = None
        with LOADING:
            self._open()

    def _unfinished(self) -> bool:
        """Cancelled ones leave the pipeline with the next step."""
        return bool(self._pipeline.has_non_finished_requests())

    def _take_orders(self, *, wait: bool) -> None:
        try:
            order = self._orders.get(block=wait)
            while True:
                order()
                order = self._orders.get(block=False)
        except queue.Empty:
            return

    def _stop(self) -> None:
        self._stopping = True

    def _admit(self) -> None:
        """
        Those who wait, in their order, while there are places and cache.

        GenAI drops a sequence when its cache is full, so each one's most is set aside for it from its beginning.
        """
        while self._waiting and len(self._running) < self.options.sequences_max:
            answer = self._waiting[0]
            if self._blocks_taken + self._blocks_of(answer) > self._blocks and self._running:
                return
            self._waiting.popleft()
            if not answer.cancelled:
                self._begin(answer)

    def _blocks_of(self, answer: Answer) -> int:
        tokens = len(answer.prompt) + int(answer.config.max_new_tokens)
        return math.ceil((tokens + 1) / self._block_tokens)

    def _begin(self, answer: Answer) -> None:
        if answer.grammar is not None:
            self._grammars.add(_key_of(answer.grammar))
        self._requests += 1
        prompt = ov.Tensor(np.array([answer.prompt], dtype=np.int64))
        answer.handle = self._pipeline.add_request(self._requests, prompt, answer.config)
        self._running.append(answer)
        self._blocks_taken += self._blocks_of(answer)
        self._send([(answer, [Begun(len(answer.prompt))])])

    def _collect(self) -> None:
        """Takes what the step has brought, and sends it off."""
        told: list[tuple[Answer, list[int], genai.GenerationFinishReason, bool]] = []
        for answer in self._running:
            assert answer.handle is not None
            tokens: list[int] = []
            reason = genai.GenerationFinishReason.NONE
            while answer.handle.can_read():
                for output in answer.handle.read().values():
                    tokens.extend(output.generated_ids)
                    reason = output.finish_reason
            dropped = answer.handle.get_status() == genai.GenerationStatus.IGNORED
            if tokens or dropped:
                told.append((answer, tokens, reason, dropped))
        if told:
            self._send(self._events_of(told))

    def _events_of(
        self, told: list[tuple[Answer, list[int], genai.GenerationFinishReason, bool]]
    ) -> list[tuple[Answer, list[AnswerEvent | RequestFailure]]]:
        texts = self._texts_of([(answer, tokens) for answer, tokens, _, _ in told])
        events: list[tuple[Answer, list[AnswerEvent | RequestFailure]]] = []
        for (answer, tokens, reason, dropped), (before, after) in zip(told, texts, strict=True):
            answer.generated += len(tokens)
            if dropped:
                log.error("The cache of %s was full, though it was set aside.", self.id)
                events.append((answer, [internal()]))
                self._leave(answer)
                continue
            last = reason != genai.GenerationFinishReason.NONE
            text = answer.text.advance(before, after, last=last)
            events.append((answer, self._read(answer, text, reason)))
        return events

    def _read(self, answer: Answer, text: str, reason: genai.GenerationFinishReason) -> list[AnswerEvent | RequestFailure]:
        watched = answer.json
        reading = answer.reader.push(text if watched is None else watched.push(text))
        complete = answer.reader.stopped or (watched is not None and watched.ended)
        given_up = watched is not None and watched.given_up
        if reason == genai.GenerationFinishReason.NONE and not complete and not given_up:
            return [reading] if reading else []
        reading = _joined(reading, answer.reader.finish())
        length = not complete and (given_up or reason == genai.GenerationFinishReason.LENGTH)
        self._leave(answer)
        return [reading, self._finished(answer, length=length)]

    def _texts_of(self, told: list[tuple[Answer, list[int]]]) -> list[tuple[str, str]]:
        """Both windows of every answer as text. Windows of one length go into one call: others would be padded."""
        texts: dict[tuple[int, int], str] = {}
        alike: dict[tuple[int, bool], list[tuple[tuple[int, int], list[int]]]] = {}
        for place, (answer, tokens) in enumerate(told):
            spell = answer.spell_controls
            # What ends an answer is no part of it; elsewhere control tokens are left out by the tokenizer.
            kept = [token for token in tokens if not spell or token not in self._ends]
            for which, window in enumerate(answer.text.add(kept)):
                alike.setdefault((len(window), spell), []).append(((place, which), window))
        for (length, spell), windows in alike.items():
            batch = [window for _, window in windows]
            decoded = self._tokenizer.decode(batch, skip_special_tokens=not spell) if length else [""] * len(batch)
            texts.update(zip((key for key, _ in windows), decoded, strict=True))
        return [(texts[place, 0], texts[place, 1]) for place in range(len(told))]

    def _finished(self, answer: Answer, *, length: bool) -> Finished:
        called = answer.reader.calls > 0 and not answer.reader.cut
        reason: Literal["stop", "length", "tool_calls"] = "length" if length else "tool_calls" if called else "stop"
        return Finished(reason, len(answer.prompt), answer.generated)

    def _leave(self, answer: Answer) -> None:
        """Its place and its cache are free from the next step on."""
        if answer in self._running:
            self._running.remove(answer)
            self._blocks_taken -= self._blocks_of(answer)
            assert answer.handle is not None
            answer.handle.cancel()

    def _cancel(self, answer: Answer) -> None:
        answer.cancelled = True
        if answer in self._waiting:
            # Those before it may wait for long, and its prompt be large.
            self._waiting.remove(answer)
        self._leave(answer)

    def _send(self, events: list[tuple[Answer, list[AnswerEvent | RequestFailure]]]) -> None:
        """Hands events to the event loop, and lets it go round before the next step."""
        rested = threading.Event()

        def deliver() -> None:
            for answer, mine in events:
                for event in mine:
                    answer.events.put_nowait(event)
            turn(TURNS_BETWEEN_STEPS)

        def turn(left: int) -> None:
            if left == 0:
                rested.set()
            else:
                assert self._loop is not None
                self._loop.call_soon(turn, left - 1)

        self._tell(deliver)
        rested.wait(TURNS_SECONDS_MAX)

    def _tell(self, do: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(do, *arguments)
        except RuntimeError:
            # The loop is closed: nobody is left to tell.
            return

    def _note_ready(self) -> None:
        assert self._loaded is not None
        self.state, self.detail = "ready", ""
        self._loaded.set_result(None)
        log.info("The model %s is loaded; a sequence may hold %d tokens.", self.id, self.context)

    def _note_failed(self, why: str) -> None:
        assert self._loaded is not None
        self.state, self.detail = "failed", why
        sentence = f"The model {self.id} can't be loaded: {why}"
        self._loaded.set_exception(RequestFailure(503, "model_failed", sentence, retry_after_seconds=30))

    def _note_ended(self, detail: str) -> None:
        """The thread is over, and what it owned is the event loop's: also orders that came too late for it."""
        self.state, self.detail = ("failed", detail) if detail else ("idle", "")
        self._take_orders(wait=False)
        failure = internal() if detail else RequestFailure(503, "shutting_down", "The server is about to stop.")
        for answer in [*self._running, *self._waiting]:
            answer.events.put_nowait(failure)
        self._running, self._waiting = [], deque()
        self._pipeline = None


@dataclass(frozen=True)
class _Rendered:
    """A prompt as tokens, and how the answer to it is read."""

    tokens: list[int]
    tools: ToolFormat | None = None
    grammar: CallGrammar | None = None
    thinks: bool = False
    thinking: bool = False


def _specification(form: OutputFormat | None, calls: CallGrammar | None) -> Specification | None:
    if calls is not None:
        return {"kind": "calls", **asdict(calls)}
    return None if form is None else {"kind": form.kind, "text": form.text}


def _key_of(specification: Specification) -> bytes:
    return hashlib.sha256(json.dumps(specification).encode()).digest()


def _given(asked: float | None, default: float) -> float:
    return default if asked is None else asked


def _joined(one: Reading, other: Reading) -> Reading:
    return Reading(one.text + other.text, one.reasoning + other.reasoning, [*one.calls, *other.calls])


def _context_of(path: Path) -> int:
    """What the model was made for, by its config.json; a GGUF file's own number GenAI doesn't tell."""
    file = path / "config.json" if path.is_dir() else path.with_name("config.json")
    try:
        length = json.loads(file.read_text(encoding="utf-8")).get("max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        length = None
    if isinstance(length, int) and length > 0:
        return length
    log.warning("%s tells no context length; %d tokens are taken. Say --context for another.", file, CONTEXT_UNKNOWN)
    return CONTEXT_UNKNOWN
