"""The command line of Regulars: each command reads the settings, calls one room and says what came of it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from histories.errors import BadInput, Refused
from progress import showing

if TYPE_CHECKING:  # rooms are imported inside the commands: `regulars --help` must not wait for MLflow
    from histories.settings import Settings
    from histories.storage.store import Store

_MADE_UP = 200  # customers that a warm-up makes up: enough for every model to have something to learn
_LOW_PRIORITY = 10  # of the warm-up, as of nice
DONE, UNEXPECTED, BAD_INPUT, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    help="Which customers of an online shop will come back, what they are worth and what they will buy next.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys_app = typer.Typer(help="API keys of the service.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

StoreUrl = Annotated[str | None, typer.Option("--store", metavar="URL", help="History store (SQLAlchemy URL).")]
Engine = Annotated[Literal["local", "spark"], typer.Option(help="spark: on the machines of SPARK_MASTER.")]
Snapshot = Annotated[
    str | None, typer.Option(metavar="FOLDER_OR_URL", help="With --engine spark: what regulars export wrote.")
]
AsOf = Annotated[str | None, typer.Option(metavar="DATE", help="Inclusive; a bare date is the end of that day.")]


@dataclass(frozen=True)
class Sources:
    """What an import reads, and how: the options that `import` and `retrain` share."""

    orders: Annotated[str | None, typer.Option(metavar="FILE_OR_URL", help="Order lines: CSV, Parquet, XLSX, SQL.")]
    preset: Annotated[str | None, typer.Option(help="online-retail, shopify or woocommerce.")]
    columns: Annotated[str | None, typer.Option(metavar="MAP.toml", help="Which column is which.")]
    events: Annotated[str | None, typer.Option(metavar="FILE_OR_URL", help="Views, carts, tickets, ...")]
    customers: Annotated[str | None, typer.Option(metavar="FILE_OR_URL", help="Attributes, consent, aliases.")]
    products: Annotated[str | None, typer.Option(metavar="FILE_OR_URL", help="Names, categories, prices, stock.")]
    rejects: Annotated[Path | None, typer.Option(metavar="FILE", help="Where lines that cannot be used are listed.")]

    def __bool__(self) -> bool:
        return any((self.orders, self.events, self.customers, self.products))

    def bring(self, settings: Settings, store: Store) -> None:
        """Import, and say what came of it."""
        from histories.importing.importer import import_files

        with showing() as tell:
            _say(str(import_files(store, settings, **vars(self), progress=tell)))


def with_sources(command: Callable[[Sources, str | None], None]) -> Callable[..., None]:
    """A command of Sources and a store as one of their options, each by itself."""

    def run(store: str | None, **options: Any) -> None:
        command(Sources(**options), store)

    hints = get_type_hints(Sources, include_extras=True) | {"store": StoreUrl}
    by_name = Parameter.KEYWORD_ONLY
    parameters = [Parameter(name, by_name, default=None, annotation=hint) for name, hint in hints.items()]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__, run.__name__, run.__doc__ = hints, command.__name__, command.__doc__
    return run


@app.callback()
def every_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an unexpected error came from.")] = False,
) -> None:
    """Settings come from the environment (REGULARS_*), then regulars.toml, then defaults."""


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the answers instead of serving on.")] = False,
    customers: Annotated[int, typer.Option(min=200, help="Size of the simulated shop.")] = 5000,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
) -> None:
    """Simulate a shop, import, train, register, serve, show answers."""
    from demo import run_demo

    run_demo(once=once, customers=customers, port=port)


@app.command()
def simulate(
    customers: Annotated[int, typer.Option(min=1)],
    out: Annotated[Path, typer.Option(metavar="DIR", file_okay=False)],
    seed: Annotated[int, typer.Option(min=0)] = 1,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Last day of the shop; yesterday.")] = None,
) -> None:
    """Make up a shop with known truth, as Parquet files."""
    from datetime import UTC, date, datetime, timedelta

    from simulator.shop import simulate as run

    last = date.fromisoformat(until) if until else datetime.now(UTC).date() - timedelta(days=1)
    with showing() as tell:
        shop = run(customers, seed, out, ends=last, progress=lambda done: tell("customers", done, customers))
    _say(f"simulated {shop.customers:,} customers, {shop.lines:,} order lines and {shop.events:,} events in {out}")


@app.command()
def warm_up() -> None:
    """Compile ahead what the other commands need, on a made-up shop, while others go first."""
    import signal

    from features.customers import warm_up as compile_features

    os.nice(_LOW_PRIORITY)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who is told to stop leaves no files behind
    compile_features()  # which a training that runs beside needs first
    _rehearse()
    _say("what training and serving need is compiled")


def _rehearse() -> None:
    """Import, train and answer for a made-up shop, of which nothing stays."""
    from tempfile import TemporaryDirectory

    from histories.importing.importer import import_files
    from histories.settings import Settings
    from service.trial import rehearse as answer
    from simulator.shop import simulate as make_up
    from training.rehearsal import rehearse as learn

    with TemporaryDirectory(prefix="regulars-") as scratch:
        # What the user's own shop has set (its currency, whom it leaves out) is not for this one.
        folder, settings = Path(scratch), Settings.model_construct(store=f"sqlite:///{scratch}/shop.db")
        shop, store = make_up(_MADE_UP, 1, folder), _open(settings)
        tables: Any = {name: str(shop.file(name)) for name in ("orders", "events", "customers", "products")}
        import_files(store, settings, **tables)
        learn(store, settings, folder / "release")
        answer(store, folder / "release")


@app.command(name="import")
@with_sources
def import_(sources: Sources, store: str | None) -> None:
    """Bring files of the shop into the store; what is there already is not added again."""
    from histories.storage.locks import held

    settings = _settings(store)
    opened = _open(settings)
    with held(opened.engine, "data", "import"):
        sources.bring(settings, opened)


@app.command()
def check(horizon_days: Annotated[int | None, typer.Option(min=1, max=730)] = None, store: StoreUrl = None) -> None:
    """Say what can be predicted from this history, and what is missing."""
    from histories.check import check as run

    settings = _settings(store, horizon_days=horizon_days)
    _say(str(run(_open(settings), settings.horizon_days)))


@app.command()
def train(
    horizon_days: Annotated[int | None, typer.Option(min=1, max=730)] = None,
    as_of: AsOf = None,
    engine: Engine = "local",
    history: Snapshot = None,
    store: StoreUrl = None,
) -> None:
    """Fit, judge and register a release of the four models."""
    from histories.clock import asked
    from histories.storage.locks import held

    settings = _settings(store, horizon_days=horizon_days)
    run = _trainer(engine, history)
    opened = _open(settings)
    with held(opened.engine, "training", "train"), held(opened.engine, "data", "train", shared=True), showing() as tell:
        made = run(opened, settings, as_of=asked(as_of, opened.zone, "as_of") if as_of else None, progress=tell)
    _say(made.table())
    _say(f"release {made.id} is registered as challenger; regulars promote puts it to work")


@app.command()
def promote(
    release: Annotated[str | None, typer.Option(metavar="ID", help="The newest, unless named.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the verdict says.")] = False,
    store: StoreUrl = None,
) -> None:
    """Make a release the champion, if its verdict allows it."""
    settings = _settings(store)
    from training.promote import promote as run

    verdict = run(settings, release, force=force)
    _say(f"release {verdict.release} is champion")


@app.command()
@with_sources
def retrain(sources: Sources, store: str | None) -> None:
    """Import what is new, train, gate and promote in one run that can be repeated."""
    from histories.storage.locks import held
    from training.retrain import retrain as run

    settings = _settings(store)
    opened = _open(settings)
    with held(opened.engine, "training", "retrain"):
        if sources:
            with held(opened.engine, "data", "retrain"):
                sources.bring(settings, opened)
        with held(opened.engine, "data", "retrain", shared=True), showing() as tell:
            _say(str(run(opened, settings, progress=tell)))


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    clock: Annotated[str | None, typer.Option(metavar="now|data|DATE")] = None,
    host: Annotated[str, typer.Option(help="Anything but loopback needs API keys.")] = "127.0.0.1",
    store: StoreUrl = None,
) -> None:
    """Answer over HTTP from the champion release."""
    from service.start import serve as run

    run(_settings(store, clock=clock), host=host, port=port, workers=workers)


@app.command()
def score(
    out: Annotated[str, typer.Option(metavar="FILE_OR_URL", help="FILE.parquet, FILE.csv, FOLDER/ or a database.")],
    as_of: AsOf = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Only customers with news since then.")] = None,
    k: Annotated[int, typer.Option("-k", min=0, max=100, help="Products for each customer.")] = 10,
    no_products: Annotated[bool, typer.Option("--no-products", help="The same as -k 0, and quicker.")] = False,
    table: Annotated[str, typer.Option(help="Where a database takes them.")] = "scores",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core.")] = None,
    engine: Engine = "local",
    history: Snapshot = None,
    store: StoreUrl = None,
) -> None:
    """Write the champion's answers on every customer; a run that was killed goes on where it was."""
    settings, products = _settings(store), 0 if no_products else k
    _check_engine(engine, history)
    if engine == "spark":
        _score_on_spark(settings, out, history, as_of=as_of, since=since, k=products)
        return
    from service.batch import score as run

    with showing() as tell:
        done = run(
            _open(settings),
            settings,
            out,
            as_of=as_of,
            since=since,
            k=products,
            table=table,
            workers=workers,
            progress=lambda scored, customers: tell("customers scored", scored, customers),
            say=_warn,
        )
    _say(f"{done.rows:,} customers scored by release {done.release} into {done.out} in {done.seconds:.1f} s")


@app.command()
def features(
    out: Annotated[str, typer.Option(metavar="FILE", help="FILE.parquet; with --engine spark a FOLDER/.")],
    as_of: Annotated[str, typer.Option(metavar="DATE", help="Inclusive; a bare date is the end of that day.")],
    engine: Engine = "local",
    history: Snapshot = None,
    store: StoreUrl = None,
) -> None:
    """Write the feature rows of all customers, for analyses and models of your own."""
    from engines.features import write_here, write_on_spark

    _check_engine(engine, history)
    settings = _settings(store)
    if engine == "spark":
        rows = write_on_spark(lambda: _open_existing(settings), settings, out, as_of, history, say=_warn)
    else:
        with showing() as tell:
            rows = write_here(_open(settings), out, as_of, lambda done: tell("customers written", done, 0))
    _say(f"{rows:,} customers in {out}")


@app.command()
def export(
    out: Annotated[str, typer.Option(metavar="FOLDER_OR_URL", help="A new folder, here or where Arrow can write.")],
    store: StoreUrl = None,
) -> None:
    """Write all histories as Parquet, one customer a row: what --engine spark reads."""
    from histories.storage.export import write

    opened = _open(_settings(store))
    with showing() as tell:
        customers = write(opened, out, lambda written: tell("customers written", written, 0))
    _say(f"{customers:,} customers in {out}")


@app.command()
def outcomes(
    scores: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Past scores; may be repeated. Those on record.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", file_okay=False, help="Pictures, as PNG.")] = None,
    store: StoreUrl = None,
) -> None:
    """Set past scores against what has happened since, and look for drift; exit code 3 where something is off."""
    from histories.storage.locks import held
    from training import outcome_report
    from training.outcomes import outcomes as run
    from training.tracking import Tracker

    settings = _settings(store)
    opened, tracker = _open(settings), Tracker(settings.tracking_uri)
    with held(opened.engine, "data", "outcomes", shared=True):
        found = run(opened, tracker, scores or ())
    outcome_report.keep(found, tracker, plots)
    _say(outcome_report.text(found))
    if found.alarms:
        raise Refused("; ".join(found.alarms))


@app.command()
def retain(
    days: Annotated[int, typer.Option(min=1, help="Lines and events older than this are deleted.")],
    store: StoreUrl = None,
) -> None:
    """Forget what is older than a number of days."""
    from histories.storage.locks import held
    from service.clock import wall

    opened = _open(_settings(store))
    with held(opened.engine, "data", "retain"):
        _say(f"{opened.retain(days, now=wall()):,} rows deleted")


@app.command()
def erase(customer: str, store: StoreUrl = None) -> None:
    """Erase a person from the store for good."""
    erasure = _open(_settings(store)).erase(customer)
    if erasure is None:
        raise BadInput("nothing is held on this customer")
    _say("erased")
    if erasure.releases:
        _say(f"trained on this customer: {', '.join(erasure.releases)}; retrain to replace them")
    for place in erasure.outputs_left:
        _say(f"could not be rewritten and may hold the customer still: {place}")


@keys_app.command(name="add")
def add_key(
    scope: Annotated[list[str], typer.Option(help="predict, ingest, privacy or admin; may be repeated.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    store: StoreUrl = None,
) -> None:
    """Make a key and print it: the only time it is seen."""
    from service.keys import add

    _say(add(_open(_settings(store)), scope, name))


@keys_app.command(name="list")
def list_keys(store: StoreUrl = None) -> None:
    """Ids, scopes and names of the keys."""
    from service.keys import every

    for key in every(_open(_settings(store))):
        _say(f"{key.id}  {','.join(sorted(key.scopes))}  {key.name}")


@keys_app.command(name="revoke")
def revoke_key(key: Annotated[str, typer.Argument(metavar="ID")], store: StoreUrl = None) -> None:
    """Refuse a key from now on."""
    from service.keys import revoke

    if not revoke(_open(_settings(store)), key):
        raise BadInput("there is no key with this id; regulars keys list shows them")
    _say("revoked")


def _check_engine(engine: str, history: str | None) -> None:
    if history and engine != "spark":
        raise BadInput("--history is what --engine spark reads; without that the store is read")


def _trainer(engine: str, history: str | None) -> Callable[..., Any]:
    _check_engine(engine, history)
    if engine == "spark":
        from training.spark import train as on_spark

        return partial(on_spark, history=history)
    from training.train import train as here

    return here


def _score_on_spark(settings: Settings, out: str, history: str | None, **asked: Any) -> None:
    from service.spark import score as run

    done = run(lambda: _open_existing(settings), settings, out, history=history, say=_warn, **asked)
    _say(f"{done.rows:,} customers scored by release {done.release} into {done.out} in {done.seconds:.1f} s")


def _settings(store: str | None, **given: Any) -> Settings:
    """The settings, with what the command line says in place of them, and URLs that mean the same from any folder."""
    from histories.settings import Settings
    from histories.urls import absolute

    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    urls = {"store": absolute(store or settings.store), "tracking_uri": absolute(settings.tracking_uri)}
    return settings.model_copy(update=urls)


def _open(settings: Settings) -> Store:
    from histories.storage.store import Store

    return Store.open(settings.store, settings)


def _open_existing(settings: Settings) -> Store:
    """Does not make an SQLite file: on a snapshot, work goes on where there is no store at all."""
    from histories.urls import file_of

    file = file_of(settings.store)
    if file and not Path(file).exists():
        raise BadInput(f"there is no store {file}")
    return _open(settings)


def _say(text: str) -> None:
    typer.echo(text)


def _warn(text: str) -> None:
    typer.echo(text, err=True)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. Whatever goes wrong is one line on stderr."""
    debug = "--debug" in arguments
    try:
        code = app([each for each in arguments if each != "--debug"], prog_name="regulars", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the program: every error ends in a line and a code
        if debug:
            traceback.print_exc()
        code, text = _verdict(error)
        if text:
            typer.echo(f"regulars: {text}", err=True)
        return code
    if code == INTERRUPTED:
        typer.echo("regulars: interrupted", err=True)
    return code if isinstance(code, int) else DONE


def _verdict(error: Exception) -> tuple[int, str]:
    """Exit code and line for an error; no line where its own words are shown already."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return BAD_INPUT, ""
    if hasattr(error, "format_message"):  # how typer says that a command line makes no sense
        return BAD_INPUT, f"{_line(error.format_message())} (--help shows what would be accepted)"
    if isinstance(error, Refused):
        return REFUSED, _line(str(error))
    if isinstance(error, ValueError) and hasattr(error, "errors"):  # pydantic: settings
        first = error.errors()[0]
        return BAD_INPUT, f"setting {'.'.join(map(str, first['loc']))}: {_line(first['msg'])}"
    if isinstance(error, ValueError):
        return BAD_INPUT, _line(str(error))
    return UNEXPECTED, f"unexpected {type(error).__name__}: {_line(str(error))} (--debug shows where)"


def _line(text: str) -> str:
    return " ".join(text.split()) or "no reason given"


def main() -> None:
    # Where other work has the cores, threads that spin while they wait for each other are a hundred times as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
