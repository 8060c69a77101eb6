"""Where documents, terms and vectors are kept, behind one contract; and codecs for services that keep them."""
