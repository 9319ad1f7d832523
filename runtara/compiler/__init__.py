"""From a scenario to an artifact: validate, lower, emit, package."""

from runtara.compiler.compilation import CompilationInput as CompilationInput
from runtara.compiler.compilation import CompilationResult as CompilationResult
from runtara.compiler.compilation import Translation as Translation
from runtara.compiler.compilation import compile_scenario as compile_scenario
from runtara.compiler.compilation import translate_scenario as translate_scenario

__all__ = ("CompilationInput", "CompilationResult", "Translation", "compile_scenario", "translate_scenario")
