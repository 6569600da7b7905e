"""The drawn CT slices of ``datasets/synthetic/ct.py`` under the name that they had before."""

from fastener.datasets.synthetic.ct import write_ct_dataset as write_ct_dataset
