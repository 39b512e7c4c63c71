"""Curves of a scenario's runs as a picture: one plot a curve, one line a run, the original's dashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from simulation.scenario import Outcome, Scenario

matplotlib.use("Agg")
from matplotlib import pyplot


def draw(path: Path, scenario: Scenario, results: Mapping[str, Mapping[str, Sequence[Outcome]]]) -> None:
    """Write the picture; scenarios without curves give one of their measures by seed."""
    names = sorted(
        {
            name
            for by_variant in results.values()
            for runs in by_variant.values()
            for run in runs
            for name in run.curves
        }
    )
    figure, axes = pyplot.subplots(max(1, len(names)), squeeze=False, figsize=(8, 4 * max(1, len(names))))
    for row, name in zip(axes, names, strict=False):
        draw_curve(row[0], name, scenario, results)
    if not names:
        draw_measures(axes[0][0], scenario, results[scenario.name])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_curve(
    axis: pyplot.Axes,
    name: str,
    scenario: Scenario,
    results: Mapping[str, Mapping[str, Sequence[Outcome]]],
) -> None:
    for whose, by_variant in results.items():
        for index, (variant, runs) in enumerate(by_variant.items()):
            style = "-" if whose == scenario.name else "--"
            for number, run in enumerate(runs):
                if run.curves.get(name):
                    times, values = zip(*run.curves[name], strict=True)
                    label = f"{whose} {variant}".strip() if number == 0 else None
                    axis.plot(times, values, style, color=f"C{index}", linewidth=0.9, label=label)
    axis.set_title(f"{scenario.name}: {name}")
    axis.set_xlabel(scenario.axis)
    axis.set_ylabel(name)
    axis.set_xscale(scenario.scale)
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)


def draw_measures(axis: pyplot.Axes, scenario: Scenario, by_variant: Mapping[str, Sequence[Outcome]]) -> None:
    measure = scenario.shown
    for variant, runs in by_variant.items():
        values = [run.measures.get(measure, 0.0) for run in runs]
        axis.plot(range(1, len(values) + 1), sorted(values), ".-", label=variant or scenario.name)
    axis.set_title(f"{scenario.name}: {measure}, seeds in order of it")
    axis.set_xlabel("seeds")
    axis.set_ylabel(f"{measure} ({scenario.units.get(measure, '')})")
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)
