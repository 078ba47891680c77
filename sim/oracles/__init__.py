"""Independent answers for the tests: closed forms, small Markov chains and a model of every single request.

Nothing here may import the engine (traffic, world, measures), and no part of the engine may import this package.
"""
