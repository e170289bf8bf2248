"""`pilotage eval`: judge a router on recorded answers, train weights, export decisions."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console

from pilotage_cli.failure import CommandError

Data = Annotated[
    Path, typer.Argument(help="JSON lines: prompt, model, correct or score, tokens, cost, group.")
]
Weak = Annotated[str, typer.Option(help="Name of the weak model in the data.")]
Strong = Annotated[str, typer.Option(help="Name of the strong model in the data.")]
Out = Annotated[Path, typer.Option(help="File to write.")]


def eval_commands() -> typer.Typer:
    """The command with its subcommands."""
    app = typer.Typer(no_args_is_help=True, help="Judge and train routers on recorded answers.")
    for command in (run, train, figures, export):
        app.command()(command)
    return app


def run(
    data: Data,
    weak: Weak,
    strong: Strong,
    predictor: Annotated[
        Path | None, typer.Option(help="Weights to judge; those that ship when omitted.")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option(help="text, or json for machines.")] = "text",
    svg: Annotated[Path | None, typer.Option(help="Write the cost-quality curves there.")] = None,
) -> None:
    """Judge weights on recorded answers against chance, domain only, always weak or strong, and an oracle."""
    import numpy as np  # noqa: PLC0415 - other commands need none of it

    from pilotage_cli.evaluation.curves_svg import curves_svg  # noqa: PLC0415
    from pilotage_cli.evaluation.evaluate import evaluate  # noqa: PLC0415
    from pilotage_cli.evaluation.jsonl import paired, read_rows  # noqa: PLC0415
    from pilotage_cli.evaluation.report import print_evaluation  # noqa: PLC0415
    from pilotage_cli.evaluation.routers import of_predictor  # noqa: PLC0415
    from pilotage_extproc.features.ngrams import buckets_of  # noqa: PLC0415
    from pilotage_extproc.features.weights_files import SHIPPED  # noqa: PLC0415

    answers = paired(read_rows(data), weak, strong)
    if answers.strong.mean() <= answers.weak.mean():
        raise CommandError(
            f"{strong!r} is no better than {weak!r} in these answers ({answers.strong.mean():.3f},"
            f" {answers.weak.mean():.3f}): there is no gap to recover; are --weak and --strong the right way?"
        )
    read, shipped = _predictor(predictor or SHIPPED), _predictor(SHIPPED)
    if not read.predicts_gain:
        raise CommandError(f"{predictor}: has no weights for the gain")
    domains = np.array([shipped.predict(buckets_of(text)).domain for text in answers.texts()])
    found = evaluate(of_predictor(read, answers), answers, domains)
    if svg is not None:
        _write(svg, curves_svg(found).encode())
    if output == "json":
        typer.echo(_json(found.as_json()))
    else:
        print_evaluation(Console(soft_wrap=True), found)


def train(
    out: Out,
    routellm: Annotated[
        Path | None, typer.Option(help="Folder of RouteLLM's evaluation data: makes the weights that ship.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON lines of your own labels, with --weak and --strong.")
    ] = None,
    weak: Annotated[str | None, typer.Option(help="Name of the weak model in the labels.")] = None,
    strong: Annotated[str | None, typer.Option(help="Name of the strong model in the labels.")] = None,
) -> None:
    """Train weights: those that ship (--routellm), or those of your own labels (--labels)."""
    from pilotage_cli.evaluation import training  # noqa: PLC0415
    from pilotage_cli.evaluation.jsonl import paired, read_rows  # noqa: PLC0415
    from pilotage_cli.evaluation.routellm import gsm8k, mmlu  # noqa: PLC0415
    from pilotage_extproc.features.weights_files import SHIPPED  # noqa: PLC0415

    if (routellm is None) == (labels is None):
        raise CommandError("name either --routellm or --labels")
    if routellm is not None:
        made = training.shipped(mmlu(routellm), gsm8k(routellm))
    else:
        if labels is None or weak is None or strong is None:
            raise CommandError("--labels needs --weak and --strong: the two models to tell apart")
        answers = paired(read_rows(labels), weak, strong)
        made = training.own(_predictor(SHIPPED), answers, f"{weak}-vs-{strong}")
    content = made.packed()
    _write(out, content)
    typer.echo(f"{out}: {len(content):,} bytes, trained on {made.header.trained_on:,} labels")


def figures(
    routellm: Annotated[Path, typer.Option(help="Folder of RouteLLM's evaluation data.")],
    out: Out,
) -> None:
    """Measure every figure of docs/routing-quality.md; takes minutes."""
    from pilotage_cli.evaluation.quality import all_figures  # noqa: PLC0415

    found = all_figures(routellm, lambda what: typer.echo(what, err=True))
    _write(out, _json(found).encode() + b"\n")


def export(
    decisions: Annotated[Path, typer.Argument(help="JSON of the admin address's /decisions, or of explain.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="JSON lines with decision, and correct or score (prompt, group, cost)."),
    ] = None,
) -> None:
    """Write recorded decisions as JSON lines to be labelled. They hold features, never prompt text."""
    from pilotage_cli.evaluation.export import exported  # noqa: PLC0415

    try:
        read = orjson.loads(decisions.read_bytes())
        lines = [] if labels is None else labels.read_bytes().splitlines()
        given = [orjson.loads(line) for line in lines if line.strip()]
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{decisions}, or a line of the labels, is no JSON: {error}") from None
    found = read.get("decisions", [read]) if isinstance(read, dict) else read
    rows = [*found, *given] if isinstance(found, list) else [None]
    if not all(isinstance(one, dict) and "decision" in one for one in rows):
        raise CommandError(
            f"{decisions}: has no decisions, or labels name none: save what /decisions of the admin address"
            " answers, and label rows by `decision`"
        )
    for row in exported(found, {str(one.get("decision")): one for one in given}):
        typer.echo(orjson.dumps(row).decode())


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def _predictor(path: Path) -> Any:
    from pilotage_extproc.features.predictor import PredictorError  # noqa: PLC0415
    from pilotage_extproc.features.weights_files import read_predictor  # noqa: PLC0415

    try:
        return read_predictor(path)
    except PredictorError as error:
        raise CommandError(str(error)) from None


def _json(found: dict[str, Any]) -> str:
    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: rounded(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [rounded(one) for one in value]
        if isinstance(value, float):
            return round(float(value), 4) if math.isfinite(value) else None
        return value

    return orjson.dumps(rounded(found), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode()
