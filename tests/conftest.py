"""Before a test module imports vaelib: its public functions, held to their documented shapes."""

import shapes

shapes.install()
