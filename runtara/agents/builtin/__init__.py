"""The agents that come with Runtara, one module each. ``runtara.agents.registry`` lists them."""

__all__ = ()
