"""The walk: who is met, who is introduced and punctured, and how neighbours are kept."""
