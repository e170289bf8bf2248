"""An evaluation as tables on a terminal."""

from rich.console import Console
from rich.table import Table

from pilotage_cli.evaluation.evaluate import Evaluation


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Figures of each router, then how the first differs from the others."""
    answers = evaluation.answers
    console.print(
        f"{len(answers)} prompts; always {answers.weak_model}: {answers.weak.mean():.3f}; "
        f"always {answers.strong_model}: {answers.strong.mean():.3f}"
    )
    table = Table("router", "APGR", "CPT(50)", "CPT(80)", "ability", "LPM", "HCR", "MPM")
    for name, one in evaluation.figures.items():
        row = (one.apgr, one.cpt50, one.cpt80, one.ability, one.lpm, one.hcr, one.mpm)
        table.add_row(name, *(f"{figure:.3f}" for figure in row))
    console.print(table)
    table = Table("router less", "APGR", "95%", "quality at half of calls", "95%")
    for name, half in evaluation.at_half.items():
        apgr = evaluation.against.get(name)
        table.add_row(
            name,
            "" if apgr is None else f"{apgr.value:+.3f}",
            "" if apgr is None else f"{apgr.low:+.3f} to {apgr.high:+.3f}",
            f"{half.value:+.4f}",
            f"{half.low:+.4f} to {half.high:+.4f}",
        )
    console.print(table)
    fitted = evaluation.transfer
    console.print(
        f"Within groups the router's APGR is {evaluation.within_groups:.3f}. Weights fitted on these answers"
        f" have {fitted.prompts_left_out:.3f} on prompts left out, and"
        f" {fitted.groups_left_out:.3f} on groups left out: a drop of {fitted.drop:.3f}."
    )
