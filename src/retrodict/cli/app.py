"""The commands: their words, options and help."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import steps
from .campaigns import simulate_app


app = typer.Typer(
    name="retrodict",
    help="From a simulator and a prior to a posterior that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(simulate_app, name="simulate")
bench_app = typer.Typer(
    help="Measure methods on problems with known answers.", no_args_is_help=True
)
app.add_typer(bench_app, name="bench")

ModelArgument = Annotated[
    str, typer.Argument(help="A world's name, or path/to/model.py:name.")
]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Seed of every random number.")
]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder with data that are not shipped.")
]
ObservationOption = Annotated[
    Path | None,
    typer.Option(help="File with the observation: .json, .npy, .csv or .txt."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes for a Python simulator.")
]
PartOption = Annotated[str | None, typer.Option(help="Another part of a world.")]
NoBaselineOption = Annotated[
    bool, typer.Option("--no-baseline", help="Leave out the classical baseline.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 unless the verdict is trusted.")
]


def _version(wanted: bool) -> bool:
    if wanted:
        from ..workflow import package_version

        typer.echo(package_version())
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """From a simulator and a prior to a posterior that can be trusted."""
    del version


@app.command()
def run(
    model: ModelArgument,
    out: Annotated[Path | None, typer.Option(help="Folder for all files.")] = None,
    seed: SeedOption = 0,
    budget: Annotated[
        int | None, typer.Option(min=50, help="Number of training simulations.")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, max=20, help="Rounds of simulations, each nearer to the observation."
        ),
    ] = None,
    data: DataOption = None,
    observation: ObservationOption = None,
    part: PartOption = None,
    no_baseline: NoBaselineOption = False,
    workers: WorkersOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate, fit, validate, infer and report: the whole job."""
    study = steps.load(model, data=data, observation=observation, part=part)
    out = out or Path("runs") / study.model.name
    budget = budget or study.budget
    rounds = rounds or study.rounds
    steps.run(
        replace(study, rounds=rounds),
        out,
        command=steps.command_line(
            model,
            out=out,
            seed=seed,
            budget=budget,
            rounds=rounds if rounds != 1 or study.rounds != 1 else None,
            data=data,
            observation=observation,
            part=part,
            no_baseline=no_baseline,
        ),
        seed=seed,
        budget=budget,
        with_baseline=not no_baseline,
        workers=workers,
        strict=strict,
        quiet=quiet,
        as_json=as_json,
    )


@app.command()
def fit(
    model: ModelArgument,
    simulations: Annotated[Path, typer.Option(help="Folder of the campaign.")],
    out: Annotated[Path, typer.Option(help="File for the posterior.")] = Path(
        "posterior.retrodict"
    ),
    num: Annotated[int, typer.Option(min=1, help="Number of simulations.")] = 10_000,
    seed: SeedOption = 0,
    effort: Annotated[
        str, typer.Option(help="fast: one network; auto: race trainings, an ensemble.")
    ] = "auto",
    members: Annotated[
        int | None, typer.Option(min=1, help="Networks in the ensemble.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train a posterior on the simulations of a campaign."""
    training = {"seed": seed, "effort": effort, "num_members": members}
    steps.fit(steps.load(model), simulations, out, num, training, quiet)


@app.command()
def validate(
    posterior: Annotated[Path, typer.Argument(help="A saved posterior.")],
    model: Annotated[str, typer.Option(help="The model it was trained on.")],
    num: Annotated[int, typer.Option(min=20, help="Test simulations.")] = 1000,
    data: DataOption = None,
    observation: ObservationOption = None,
    seed: SeedOption = 0,
    strict: StrictOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a saved posterior on fresh simulations, after rounds near the data."""
    study = steps.load(model, data=data, observation=observation)
    steps.validate(study, posterior, num, seed, strict, quiet, as_json)


@app.command()
def infer(
    posterior: Annotated[Path, typer.Argument(help="A saved posterior.")],
    observation: Annotated[Path, typer.Option(help="File with the observation.")],
    num_samples: Annotated[int, typer.Option(min=1, help="Posterior draws.")] = 10_000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option(help="File for the draws (NetCDF, ArviZ).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer one observation with a saved posterior."""
    steps.infer(posterior, observation, num_samples, seed, out, as_json)


@app.command()
def report(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="Folder of an earlier run.")],
    data: DataOption = None,
    observation: ObservationOption = None,
    part: PartOption = None,
    no_baseline: NoBaselineOption = False,
    strict: StrictOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report of an earlier run anew, from its simulations and posterior."""
    study = steps.load(model, data=data, observation=observation, part=part)
    posterior, seed, budget, rounds = steps.earlier(out)
    steps.run(
        replace(study, rounds=rounds),
        out,
        command=steps.command_line(
            model,
            out=out,
            seed=seed,
            budget=budget,
            rounds=rounds if rounds != 1 else None,
            data=data,
            observation=observation,
            part=part,
            no_baseline=no_baseline,
        ),
        seed=seed,
        budget=budget,
        posterior=posterior,
        with_baseline=not no_baseline,
        strict=strict,
        quiet=quiet,
        as_json=as_json,
    )


@bench_app.command()
def sbibm(
    data: Annotated[Path, typer.Option(help="Folder of <task>.npz files.")],
    budget: Annotated[int, typer.Option(min=50, help="Simulator calls per task.")],
    out: Annotated[
        Path, typer.Option(help="File for the results, one JSON object a line.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(help="Name of a task; may be repeated. All by default."),
    ] = None,
    seed: SeedOption = 0,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Name of a method; may be repeated. amortized by default."),
    ] = None,
    effort: Annotated[
        str, typer.Option(help="fast (a single network) or auto (what fit does).")
    ] = "auto",
    quiet: QuietOption = False,
) -> None:
    """Score posteriors on the ten tasks of sbibm; the same command resumes."""
    steps.bench_sbibm(
        data,
        out,
        tasks=task or [],
        methods=method or ["amortized"],
        effort=effort,
        budget=budget,
        seed=seed,
        quiet=quiet,
    )


@app.command()
def worlds(as_json: JsonOption = False) -> None:
    """List the ready studies."""
    steps.worlds(as_json)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new model file.")],
) -> None:
    """Write a working model file to start from."""
    from .template import write_template

    path = write_template(Path(name))
    typer.echo(f"{path}: edit it, then run\n  retrodict run {path}")
