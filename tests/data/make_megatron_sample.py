"""Writes megatron_sample.{bin,idx}: what Megatron-LM's IndexedDatasetBuilder writes for the documents below, spelled out with struct alone.

Layout: megatron/core/datasets/indexed_dataset.py, _IndexWriter. Usage: python3 make_megatron_sample.py FOLDER
"""

import struct
import sys
from pathlib import Path

# A document is a list of sequences; the third one is empty, the last one has two sequences.
DOCUMENTS = [[[1, 2, 3]], [[65000]], [], [[7, 8], [9, 10, 11]]]
UINT16 = 8

folder = Path(sys.argv[1])
sequences = [sequence for document in DOCUMENTS for sequence in document]
boundaries = [0]
for document in DOCUMENTS:
    boundaries.append(boundaries[-1] + len(document))
pointers = [2 * sum(len(s) for s in sequences[:i]) for i in range(len(sequences))]

index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, UINT16, len(sequences), len(boundaries))
index += struct.pack(f"<{len(sequences)}i", *[len(s) for s in sequences])
index += struct.pack(f"<{len(pointers)}q", *pointers)
index += struct.pack(f"<{len(boundaries)}q", *boundaries)
(folder / "megatron_sample.idx").write_bytes(index)
(folder / "megatron_sample.bin").write_bytes(b"".join(struct.pack(f"<{len(s)}H", *s) for s in sequences))
