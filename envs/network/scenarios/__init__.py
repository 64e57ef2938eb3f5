"""What makes an id an id: where its cars begin, what its decisions earn, when its episodes end; one module for each of highway-env's."""
