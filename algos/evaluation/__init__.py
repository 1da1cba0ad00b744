"""Evaluation: episodes of a policy on many arms, and the accuracy computed from them."""
