"""Natural gradients: K-FAC, the Fisher matrix of each distribution, the trust region. Used by ``acktr`` and ``ppo_kl``."""
