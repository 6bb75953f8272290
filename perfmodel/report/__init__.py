"""Answers for people and programs: tables, documents, sentences, plots, pages. Nothing here computes a prediction.

    answers.py    what was predicted, or why not      words.py, *_words.py    why, in sentences made from the numbers
    console.py    where text goes                     documents.py, *_document.py    JSON; schemas/ publishes its form
    formats.py    numbers for people                  *_table.py    tables of a terminal, and CSV
    columns.py    the columns of a table              plots.py, *_plot.py    pictures
    html_*.py     one page to hand on, from the above

May import: everything below. rich and matplotlib are imported by the files that draw with them, nothing else imports
those at its top. To add an answer: `NAME_document.py` with `schemas/NAME.schema.json`, `NAME_words.py`,
`NAME_table.py`, and its page in the `html_*.py` of its kind.
"""
