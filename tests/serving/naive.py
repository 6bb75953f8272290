"""The semantics of the simulator once more, one step at a time, with nothing added up: slow, and easy to check by eye.

Written from the description in `perfmodel.serving.batching`, sharing no code with it: blocks are counted over all
sequences before every step, and a step's time is `step_seconds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.simulation_settings import Disaggregation, FrontEnd, SharedPrefix, Speculation
from perfmodel.serving.step_table import StepTable, step_seconds
from perfmodel.serving.workload import Workload

WHOLE = 8192


@dataclass(eq=False)
class Request:
    number: int
    arrival: float
    prompt: int
    output: int
    group: int = -1
    made: int = 0
    computed: int = 0  # of the prompt (and what was made before a preemption)
    held: int = 0  # tokens that have room in the cache
    cache: int = 0  # tokens in the cache of one that decodes
    moved: bool = False
    decodes: bool = False
    start: float = -1.0
    first: float = -1.0
    finish: float = -1.0
    delay: float = 0.0
    replica: int = -1

    @property
    def total(self) -> int:
        return self.prompt + self.made


@dataclass
class Replica:
    number: int
    capacity: int
    table: StepTable
    clock: float = 0.0
    end: float = math.inf
    queue: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)  # in the order of admission
    kept: list[int] = field(default_factory=list)  # starts that nobody uses, least recent first
    used_starts: dict[int, int] = field(default_factory=dict)
    completing: list[Request] = field(default_factory=list)
    decode_steps: int = 0
    decodes_now: bool = False
    link_free: float = 0.0
    most_blocks: int = 0
    gaps: list[float] = field(default_factory=list)


class Naive:
    """Runs a workload to its end; the results are in `requests`, `preemptions`, `hits` and `replicas`."""

    def __init__(
        self,
        table: StepTable,
        policy: EnginePolicy,
        workload: Workload,
        *,
        kv_capacity_tokens: int,
        replicas: int = 1,
        router: str = "round-robin",
        groups: np.ndarray | None = None,
        speculation: Speculation | None = None,
        prefix: SharedPrefix | None = None,
        disaggregation: Disaggregation | None = None,
        front_end: FrontEnd | None = None,
    ) -> None:
        self.policy, self.workload, self.router = policy, workload, router
        self.split, self.front = disaggregation, front_end or FrontEnd()
        self.drafts = speculation.drafts if speculation else 0
        self.accepted = speculation.accepted if speculation else 1.0
        self.draft_cost = speculation.draft_cost if speculation else 0.0
        self.shared = prefix.tokens // policy.block_tokens if prefix and policy.prefix_cache else 0
        self.mixed = policy.mixed and table.mixed
        prompts = disaggregation.prompt_replicas if disaggregation else 0
        count = prompts + disaggregation.decode_replicas if disaggregation else replicas
        self.prompt_replicas = prompts
        self.replicas = []
        for number in range(count):
            own, tokens = table, kv_capacity_tokens
            if number < prompts:
                own = disaggregation.prompt_table or table
                tokens = disaggregation.prompt_capacity_tokens or kv_capacity_tokens
            self.replicas.append(Replica(number, tokens // policy.block_tokens, own))
        lengths = zip(workload.input_tokens.tolist(), workload.output_tokens.tolist(), strict=True)
        self.requests = [
            Request(i, float(workload.arrival_seconds[i]), prompt, output) for i, (prompt, output) in enumerate(lengths)
        ]
        if self.shared:
            for request in self.requests:
                if request.prompt > self.shared * policy.block_tokens:
                    request.group = int(groups[request.number])
        self.preemptions = self.hits = self.flight = 0
        self.run()

    # ------------------------------------------------------------------------------------------- the course of time

    def run(self) -> None:
        sent = min(self.workload.users, len(self.requests)) if self.workload.users else len(self.requests)
        self.arrivals = [(request.arrival, request.number) for request in self.requests[:sent]]
        self.sent = sent
        while True:
            replica = min(self.replicas, key=lambda replica: replica.end)
            when = min(self.arrivals)[0] if self.arrivals else math.inf
            if when <= replica.end and when < math.inf:
                number = min(self.arrivals)[1]
                self.arrivals.remove((when, number))
                self.arrive(self.requests[number], when)
            elif replica.end < math.inf:
                self.end_step(replica)
                self.begin_step(replica)
            else:
                return

    def arrive(self, request: Request, now: float) -> None:
        if not request.made:
            front = self.front
            request.delay = front.request_seconds + front.input_token_seconds * request.prompt
            request.delay += front.in_flight_seconds * self.flight
            self.flight += 1
        replica = self.route(request)
        request.replica = replica.number
        replica.queue.append(request)
        if replica.end == math.inf:
            replica.clock = replica.end = now

    def route(self, request: Request) -> Replica:
        pool = self.replicas
        if self.split:
            pool = pool[self.prompt_replicas :] if request.made else pool[: self.prompt_replicas]
        if self.router == "round-robin":
            return pool[request.number % len(pool)]

        def load(replica: Replica) -> int:
            return len(replica.queue) + len(replica.running)

        least = min(pool, key=load)
        holders = [each for each in pool if request.group in each.kept or request.group in each.used_starts]
        if self.router == "least-loaded" or request.group < 0 or not holders:
            return least
        best = min(holders, key=load)
        return least if load(best) > load(least) + 16 and load(best) > load(least) * 1.5 else best

    def finish(self, request: Request, now: float) -> None:
        request.finish = now
        self.flight -= 1
        if self.workload.users and self.sent < len(self.requests):
            following = self.requests[self.sent]
            thinking = self.workload.think_seconds
            following.arrival = now + request.delay + (thinking[self.sent] if len(thinking) else 0.0)
            self.arrivals.append((following.arrival, following.number))
            self.sent += 1

    # ------------------------------------------------------------------------------------------------------ blocks

    def blocks_of(self, request: Request, tokens: int) -> int:
        return -(-tokens // self.policy.block_tokens) - (self.shared if request.group >= 0 else 0)

    def held(self, replica: Replica) -> int:
        own = sum(self.blocks_of(request, request.held) for request in replica.running)
        return own + self.shared * len(replica.used_starts)

    def step_growth(self, replica: Replica) -> int:
        tokens = self.tokens_of_step(replica)
        return sum(
            self.blocks_of(each, each.cache + tokens) - self.blocks_of(each, each.cache)
            for each in replica.running
            if each.decodes
        )

    def tokens_of_step(self, replica: Replica) -> int:
        done, then = (math.floor(n * self.accepted + 1e-9) for n in (replica.decode_steps, replica.decode_steps + 1))
        return then - done

    def make_way(self, replica: Replica) -> None:
        while replica.kept and self.held(replica) + self.shared * len(replica.kept) > replica.capacity:
            replica.kept.pop(0)

    def give_back(self, replica: Replica, request: Request) -> None:
        replica.running.remove(request)
        if request.group >= 0:
            replica.used_starts[request.group] -= 1
            if not replica.used_starts[request.group]:
                del replica.used_starts[request.group]
                replica.kept.append(request.group)
        request.decodes, request.computed, request.held = False, 0, 0

    # ------------------------------------------------------------------------------------------------------- a step

    def begin_step(self, replica: Replica) -> None:
        preempted = False
        while self.step_growth(replica) > replica.capacity - self.held(replica):
            newest = replica.running[-1]
            self.give_back(replica, newest)
            replica.queue.insert(0, newest)
            self.preemptions += 1
            preempted = True
        chunks = self.take_prompts(replica, preempted)
        decoding = [each for each in replica.running if each.decodes]
        taken = sum(part for part, _ in chunks)
        replica.decodes_now = bool(decoding) and (self.mixed or not taken)
        if not replica.decodes_now:
            decoding = []
        if not chunks and not decoding:
            replica.end = math.inf
            return
        if decoding:
            tokens = self.tokens_of_step(replica)
            for each in decoding:
                each.held = each.cache + tokens
        replica.most_blocks = max(replica.most_blocks, self.held(replica))
        replica.end = replica.clock + self.seconds(replica, decoding, chunks)

    def take_prompts(self, replica: Replica, preempted: bool) -> list[tuple[int, int]]:
        whole = self.policy.chunk_tokens == 0
        budget = WHOLE if whole else self.policy.chunk_tokens
        if self.mixed and not whole:
            budget -= (1 + self.drafts) * sum(each.decodes for each in replica.running)
        replica.completing = []
        chunks: list[tuple[int, int]] = []
        partial = [each for each in replica.running if not each.decodes]
        assert len(partial) <= 1
        while True:
            left = budget - sum(part for part, _ in chunks)
            if left <= 0:
                return chunks
            if partial:
                request = partial.pop()
            else:
                if preempted or not replica.queue or len(replica.running) >= self.policy.max_sequences:
                    return chunks
                request = replica.queue[0]
                if whole and chunks and request.total > left and not request.moved:
                    return chunks
                if not self.admit(replica, request):
                    return chunks
                if request.decodes:
                    budget -= 1 + self.drafts if self.mixed and not whole else 0
                    continue
            part = request.total - request.computed
            part = part if whole else min(part, left)
            request.computed += part
            chunks.append((part, request.computed))
            if request.computed == request.total:
                replica.completing.append(request)

    def admit(self, replica: Replica, request: Request) -> bool:
        growth = self.step_growth(replica)
        tokens = request.total
        hit = request.group in replica.kept or request.group in replica.used_starts
        if request.moved:
            tokens = request.prompt
            room = self.blocks_of(request, tokens + math.ceil(self.accepted))
        else:
            room = self.blocks_of(request, tokens)
            if request.group >= 0 and request.group not in replica.used_starts:
                room += self.shared  # it has to hold the start, too, kept or new
        if request.group in replica.kept:
            replica.kept.remove(request.group)
            if room + growth > replica.capacity - self.held(replica):
                replica.kept.append(request.group)
                return False
        elif room + growth > replica.capacity - self.held(replica):
            return False
        replica.queue.pop(0)
        if request.group >= 0:
            replica.used_starts[request.group] = replica.used_starts.get(request.group, 0) + 1
            if hit:
                request.computed = self.shared * self.policy.block_tokens
                self.hits += 1
        request.held = tokens
        replica.running.append(request)
        self.make_way(replica)
        if request.start < 0:
            request.start = replica.clock
        if request.moved:
            request.moved, request.decodes, request.cache = False, True, tokens
        return True

    def seconds(self, replica: Replica, decoding: list[Request], chunks: list[tuple[int, int]]) -> float:
        table, batch = replica.table, len(decoding)
        empty = StepTable(
            tokens=table.tokens, token_seconds=0 * table.token_seconds, decode_batch=table.decode_batch,
            decode_context=table.decode_context, decode_seconds=table.decode_seconds,
            prefill_tokens=table.prefill_tokens, prefill_context=table.prefill_context,
            prefill_seconds=table.prefill_seconds,
        )  # fmt: skip
        work = float(
            step_seconds(empty, sequences=batch, context=self.context(replica, decoding))
            + table.sequence_seconds * batch * (1 + self.drafts)
            + table.fixed_seconds
        )

        def of_tokens(tokens: float) -> float:
            return float(np.interp(tokens, table.tokens, table.token_seconds))  # tests stay inside of the table

        padded = next((size for size in self.policy.capture_sizes if size >= batch), batch)
        alone = work + of_tokens(padded * (1 + self.drafts))
        drafting = alone * self.drafts * self.draft_cost if batch else 0.0
        if not chunks:
            return alone + drafting
        total = work + drafting + of_tokens(batch * (1 + self.drafts) + sum(part for part, _ in chunks))
        least = float(step_seconds(empty, sequences=0, context=0, prefill_tokens=1e-9, prefill_context=1e-9))
        for place, (part, context) in enumerate(chunks):
            total += float(
                step_seconds(empty, sequences=0, context=0, prefill_tokens=part, prefill_context=context)
            ) - (least if place else 0.0)
        return total

    def context(self, replica: Replica, decoding: list[Request]) -> float:
        """A step in the middle of a token counts that part of it."""
        if not decoding:
            return 0.0
        whole = math.floor(replica.decode_steps * self.accepted + 1e-9)
        mean = sum(each.cache for each in decoding) / len(decoding)
        return mean - whole + self.accepted * (replica.decode_steps + 1)

    def end_step(self, replica: Replica) -> None:
        now = replica.clock = replica.end
        if replica.decodes_now:
            tokens = self.tokens_of_step(replica)
            replica.decode_steps += 1
            replica.decodes_now = False
            self.make_way(replica)
            for request in [each for each in replica.running if each.decodes]:
                request.made = min(request.made + tokens, request.output)
                request.cache += tokens
                if request.made == request.output:
                    self.give_back(replica, request)
                    self.finish(request, now)
        for request in replica.completing:
            self.complete(replica, request, now)
        replica.completing = []

    def complete(self, replica: Replica, request: Request, now: float) -> None:
        if not request.made:
            request.first = now
        request.made += 1
        if request.made == request.output:
            self.give_back(replica, request)
            self.finish(request, now)
        elif replica.number < self.prompt_replicas:
            self.give_back(replica, request)
            request.group, request.moved = -1, True
            seconds = request.prompt * self.split.cache_bytes_per_token / self.split.link_bytes_per_second
            replica.link_free = max(replica.link_free, now) + seconds
            self.arrivals.append((replica.link_free, request.number))
        else:
            request.decodes, request.cache = True, request.total - 1
