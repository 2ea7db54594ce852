"""For the people who run it: is it alive, is it ready, what does it do, drop this."""
