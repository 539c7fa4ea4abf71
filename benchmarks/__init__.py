"""rn and its peers side by side, in one run: ``python -m benchmarks``, from the root of the sources.

Peers that are not installed are left out: the extra ``[bench]`` brings all but PyTorch, ``pip install torch==2.13.0``.

``work`` says what can be timed, ``nets`` which nets; ``rows`` lists the rows of the table and ``limits`` what must hold
on them. ``peers`` has a module for each library that turns work into calls. ``worker`` runs one library in a process of
its own, ``turns`` asks the workers in turns, ``results`` computes ratios, ``report`` and ``plot`` show them,
``publish`` puts them into the README. ``instructions`` counts what the kernels execute.
"""
