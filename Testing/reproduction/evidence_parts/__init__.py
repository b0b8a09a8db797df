"""The parts of the evidence page: ``text`` writes Markdown, ``published`` is what the paper printed, ``diagnosis`` and
``lesions`` turn measured figures into tables and into sentences that follow from them, ``model`` says of which network.
"""
