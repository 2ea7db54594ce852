"""For the people who run it: is it alive, is it ready, what does it do, drop this.

`fleet` tells what was counted, `summary` makes figures of it, `page` shows them; `access` knows who
may, `acting` does what they want, `explaining` says why.
"""
